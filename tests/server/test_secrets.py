"""A whole recorded call of a service that holds secrets, and a search for them in everything that it shows, writes, sends and is."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from engine.load import machine
from engine.sandbox.twilio_line import Refused, Webhook
from tests.server.test_serve import Served
from tests.server.test_sessions import page
from tests.telemetry.collector import Collector, collector
from tests.transports.wires import run

SECRETS = {
    "ENGINE_SECRET": "planted-signing-secret/7d1f",
    "ENGINE_INSPECT_TOKEN": "planted-inspect-token/93ab",
    "TWILIO_AUTH_TOKEN": "planted-twilio-token/c05e",
    "OPENAI_API_KEY": "sk-planted-model-key/41d8",
}


class _Indiscreet(BaseHTTPRequestHandler):
    """A provider that repeats the key it was given in its refusal, as some do."""

    asked = 0

    def do_POST(self) -> None:
        type(self).asked += 1
        body = json.dumps({"error": {"message": f"Incorrect API key: {self.headers['Authorization']}"}}).encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Quiet."""


@contextmanager
def indiscreet() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Indiscreet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def spellings(secret: str) -> list[str]:
    """As it is, and as it would stand in a URL, in JSON within JSON, or in base64."""
    inner = base64.b64encode(secret.encode()).decode()
    return [secret, quote(secret, safe=""), secret.replace("/", "\\/"), inner.rstrip("=")[:-1], secret[8:]]


async def visit(address: str, told: dict[str, str]) -> None:
    """A call, and a look at every page; what was said and shown goes into `told`."""
    async with page(address.replace("http", "ws")) as visitor:
        await visitor.until(type="agent", state="done")
        await visitor.say(type="text", text="hello")
        await visitor.until(type="agent", state="speaking", run=2)
        await visitor.say(type="bye")
        await visitor.until(type="bye")
        # What the page needs to come back with is its own; it is signed with a secret and does not hold it.
        told["messages"] = json.dumps(visitor.messages)
    with pytest.raises(Refused) as refused:
        await Webhook("another token", address).incoming("CA1")
    told["a refused webhook"] = str(refused.value)
    async with httpx.AsyncClient(base_url=address) as client:
        paths = ["/", "/healthz", "/readyz", "/nothing", "/inspect/", "/inspect/api/calls"]
        calls = (await client.get("/inspect/api/calls")).json()["calls"]
        paths += [f"/inspect/api/calls/{call['name']}{part}" for call in calls for part in ("", "/rows", "/story")]
        assert len(paths) >= 9
        for path in paths:
            answer = await client.get(path)
            told[path] = f"{answer.headers} {answer.content!r}"


def exported(collector: Collector) -> str:
    return " ".join(str(batch) for kind in (collector.traces, collector.logs, collector.metrics) for batch in kind)


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [((), {}), (("--workers", "2"), {"ENGINE_ASR": "rehearsal", "ENGINE_TTS": "rehearsal"})],
    ids=["with embedded parts", "with workers"],
)
def test_no_secret_is_in_anything_a_call_leaves_behind(
    tmp_path: Path, arguments: tuple[str, ...], environ: dict[str, str]
) -> None:
    told: dict[str, str] = {}
    with (
        collector() as collected,
        indiscreet() as provider,
        Served(
            tmp_path,
            *arguments,
            **SECRETS,
            **environ,
            ENGINE_LLM="openai,scripted",
            LLM_BASE_URL=provider,
            LLM_MODEL="m",
            OTEL_EXPORTER_OTLP_ENDPOINT=collected.endpoint,
        ) as served,
    ):
        told["first line"] = served.line()
        run(visit(told["first line"].removeprefix("Talk to the agent at ").rstrip("/"), told))
        for pid in machine.with_descendants([served.process.pid]):
            told[f"command line of {pid}"] = Path(f"/proc/{pid}/cmdline").read_text()
        served.process.terminate()
        output, told["stderr"] = served.process.communicate(timeout=20)
        told["stdout"] = output
        told["spans, log lines and numbers"] = exported(collected)
    for file in tmp_path.rglob("*"):
        if file.is_file():
            told[str(file.relative_to(tmp_path))] = file.read_bytes().decode(errors="replace")
    assert _Indiscreet.asked, "the provider was never given its key"
    assert any(name.endswith(".jsonl") and "SessionEnded" in text for name, text in told.items())
    assert "AdapterFailed" in "".join(told.values())
    assert len(told["spans, log lines and numbers"]) > 1_000
    assert sum(name.startswith("command line") for name in told) >= 3, "it is one process only"
    found = [
        (name, key)
        for name, text in told.items()
        for key, secret in SECRETS.items()
        if any(each in text for each in spellings(secret))
    ]
    assert found == []
