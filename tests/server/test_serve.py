import asyncio
import os
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import connect

from engine.config import Config
from engine.errors import ConfigError, EngineError
from engine.server import create_app, protocols
from engine.server.serve import FILES, address, greeting, listen, make_server
from tests.server.servers import AUTH_TOKEN, make_config, serving
from tests.server.test_sessions import page
from tests.transports.wires import run


class Served:
    """`engine serve` as its user starts it. Leaving the block ends it, however the test went: what is left over is found by a test to come."""

    def __init__(self, folder: Path, *arguments: str, **environ: str) -> None:
        command = [sys.executable, "-m", "engine", "serve", "--port", "0", *arguments]
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("ENGINE_", "TWILIO_"))}
        self.process = subprocess.Popen(
            command, cwd=folder, env={**clean, **environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:
            self.process.kill()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors


def test_a_crash_leaves_no_core_dump(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        assert served.line()
        limits = Path(f"/proc/{served.process.pid}/limits").read_text()
        assert re.search(r"^Max core file size +0 ", limits, re.MULTILINE)
        served.process.terminate()
        assert served.end()[0] == 0


def test_more_open_files_are_asked_for_than_a_shell_gives(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    try:
        served = Served(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with served:
        assert served.line()
        limits = Path(f"/proc/{served.process.pid}/limits").read_text()
        found = re.search(r"^Max open files +(\d+) ", limits, re.MULTILINE)
        assert found
        assert int(found[1]) == min(FILES, hard)
        served.process.terminate()
        assert served.end()[0] == 0


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_exits_well(tmp_path: Path, sign: signal.Signals) -> None:
    async def main(served: Served) -> None:
        page_address = served.line().removeprefix("Talk to the agent at ")
        async with page(page_address.rstrip("/").replace("http", "ws")) as visitor:
            await visitor.until(type="ready")
            served.process.send_signal(sign)
            # The call goes on: the agent still greets.
            await visitor.until(type="agent", state="speaking")
            await visitor.say(type="bye")
            await visitor.until(type="bye")

    with Served(tmp_path) as served:
        run(main(served))
        code, errors = served.end()
    assert code == 0
    # On a loaded machine the stall monitor may say that the loop was held up. Nothing else has a reason to speak.
    assert not errors or "held up" in errors.splitlines()[0]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_any_configuration_can_be_tried_without_a_key(tmp_path: Path, workers: str) -> None:
    arguments = ("--workers", workers, "--simulate-providers", "llm.first_ms=50", "tts.step_ms=1")
    chosen = {"ENGINE_ASR": "deepgram", "ENGINE_LLM": "anthropic", "ENGINE_TTS": "deepgram_flux"}

    async def main(address: str) -> None:
        async with page(address.rstrip("/").replace("http", "ws")) as visitor:
            await visitor.until(type="ready")
            await visitor.until(type="agent", state="speaking")
            await visitor.say(type="bye")
            await visitor.until(type="bye")

    with Served(tmp_path, *arguments, **chosen) as served:
        told = [served.line()]
        while told[-1] and not told[-1].startswith("Talk"):
            told.append(served.line())
        if workers == "1":
            assert [line.split(" at ")[0] for line in told[:-1]] == [
                "Simulated: asr.deepgram",
                "Simulated: llm.anthropic",
                "Simulated: tts.deepgram_flux",
            ]
        run(main(told[-1].removeprefix("Talk to the agent at ")))
        served.process.send_signal(signal.SIGTERM)
        assert served.end()[0] == 0


def test_a_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Served(tmp_path, "--port", str(port)) as served:
            code, errors = served.end()
    assert code == 1
    assert errors == f"engine serve: cannot listen on 127.0.0.1, port {port}: Address already in use\n"


def test_calls_that_do_not_end_are_cut_when_the_time_is_up() -> None:
    async def main() -> None:
        async with serving(make_config(ENGINE_SERVER_DRAIN_MS="50")) as server, page(server.ws) as visitor:
            await visitor.until(type="ready")
            server.server.handle_exit(signal.SIGTERM, None)
            assert (await visitor.until(type="bye"))["reason"] == "the server is stopping"

    run(main())


def test_a_second_signal_does_not_wait() -> None:
    async def main() -> None:
        async with serving(make_config(ENGINE_SERVER_DRAIN_MS="60000")) as server, page(server.ws) as visitor:
            await visitor.until(type="ready")
            server.server.handle_exit(signal.SIGTERM, None)
            server.server.handle_exit(signal.SIGTERM, None)
            assert (await visitor.until(type="bye"))["reason"] == "the server is stopping"

    run(main())


def test_who_comes_while_it_drains_is_told_so() -> None:
    async def main() -> None:
        async with serving(make_config()) as server, page(server.ws) as visitor:
            await visitor.until(type="ready")
            draining = asyncio.create_task(server.app.switchboard.drain())
            async with page(server.ws) as late:
                assert (await late.until(type="bye"))["reason"] == "the server is stopping"
            await visitor.say(type="bye")
            await visitor.until(type="bye")
            await draining

    run(main())


def test_no_compression_is_negotiated() -> None:
    async def main() -> None:
        async with serving(make_config()) as server, connect(server.ws + "/session", compression="deflate") as socket:
            assert socket.response is not None
            assert "Sec-WebSocket-Extensions" not in socket.response.headers

    run(main())


def test_the_operator_is_told_where_to_go_and_who_may() -> None:
    config = make_config()
    lines = greeting(config, create_app(config=config).tokens, 8080)
    assert lines == [
        "Talk to the agent at http://127.0.0.1:8080/",
        "Open to this machine only; other machines need a token.",
    ]
    config = make_config(ENGINE_SERVER_HOST="0.0.0.0", TWILIO_AUTH_TOKEN=AUTH_TOKEN)
    app = create_app(config=config)
    lines = greeting(config, app.tokens, 8080)
    assert app.tokens.check(lines[0].partition("#token=")[2])
    assert "hour" in lines[1]
    assert "tls_certificate" in lines[2]
    assert "/twilio/voice" in lines[3]


@pytest.mark.parametrize(("host", "shown"), [("::", "[::1]"), ("::1", "[::1]"), ("", "127.0.0.1"), ("box", "box")])
def test_the_address_is_one_that_a_browser_can_open(host: str, shown: str) -> None:
    assert address(make_config(ENGINE_SERVER_HOST=host), 80) == f"http://{shown or '127.0.0.1'}:80/"


def test_what_cannot_be_listened_on_is_told() -> None:
    with pytest.raises(EngineError, match=r"cannot listen on 203\.0\.113\.1"):
        listen(make_config(ENGINE_SERVER_HOST="203.0.113.1"))


def certified(folder: Path) -> Config:
    """A configuration with a certificate of its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    since = datetime(2026, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, since, since + timedelta(days=3650))
    pem = folder / "both.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(secret + made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    return make_config(ENGINE_SERVER_TLS_CERTIFICATE=str(pem), ENGINE_SERVER_TLS_KEY=str(pem))


def test_no_old_version_of_tls_is_spoken(tmp_path: Path) -> None:
    config = certified(tmp_path)
    tls = make_server(create_app(config=config), config).config.ssl
    assert tls is not None
    assert tls.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert tls.options & ssl.OP_NO_COMPRESSION


def test_over_tls_a_page_is_served(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(certified(tmp_path)) as server, httpx.AsyncClient(verify=False) as client:
            answer = await client.get(server.http.replace("http", "https", 1) + "/healthz")
            assert answer.json() == {"status": "ok"}

    run(main())


def test_a_handshake_that_never_ends_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocols, "HEAD_SECONDS", 0.05)

    async def main() -> None:
        async with serving(certified(tmp_path)) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()

    run(main())


def test_certificates_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("no certificate")
    config = make_config(ENGINE_SERVER_TLS_CERTIFICATE=str(wrong), ENGINE_SERVER_TLS_KEY=str(wrong))
    with pytest.raises(ConfigError, match="cannot be used"):
        make_server(create_app(config=config), config)
    assert address(config, 443).startswith("https://")
