import wave
from array import array
from pathlib import Path

import pytest

from engine.errors import ConfigError
from engine.replay.reader import Journal
from engine.replay.verify import verify
from engine.sandbox.twilio_line import Stream, Webhook
from engine.server.switchboard import Switchboard
from tests.server.servers import AUTH_TOKEN, make_config, serving
from tests.server.test_sessions import page
from tests.server.test_telephone import CALL, local
from tests.telemetry.collector import collector
from tests.transports.wires import run

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_every_call_leaves_a_journal_that_verifies(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(make_config(ENGINE_JOURNAL_FOLDER=str(tmp_path / "calls"))) as server:
            for _ in range(2):
                async with page(server.ws) as visitor:
                    await visitor.until(type="agent", state="speaking")
                    await visitor.say(type="bye")
                    await visitor.until(type="bye")

    run(main())
    journals = sorted((tmp_path / "calls").glob("*.jsonl"))
    assert len(journals) == 2
    for journal in journals:
        verify(journal)


def test_the_sound_of_a_call_is_recorded_beside_its_journal_where_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        config = make_config(ENGINE_JOURNAL_FOLDER=str(tmp_path), ENGINE_JOURNAL_SOUND="true")
        async with serving(config) as server, page(server.ws) as visitor:
            await visitor.until(type="agent", state="speaking")
            await visitor.until(type="agent", state="done")
            await visitor.say(type="bye")
            await visitor.until(type="bye")

    run(main())
    (journal,) = tmp_path.glob("*.jsonl")
    with wave.open(str(journal.with_suffix(".wav"))) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 16_000)
        samples = array("h", file.readframes(file.getnframes()))
    assert max(samples[1::2]) > 1_000, "the greeting is on the right"
    assert 0.3 * 16_000 < len(samples) / 2 < 10 * 16_000


def test_a_folder_that_cannot_be_made_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    config = make_config(ENGINE_JOURNAL_FOLDER=str(tmp_path / "file" / "calls"))

    async def main() -> None:
        switchboard = Switchboard(config)
        with pytest.raises(ConfigError, match=r"journal\.folder"):
            await switchboard.ready()
        await switchboard.host.stop()

    run(main())


def test_calls_are_carried_while_no_collector_answers() -> None:
    async def main() -> None:
        config = make_config(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
        async with serving(config) as server, page(server.ws) as visitor:
            await visitor.until(type="agent", state="speaking")

    run(main())


def test_a_call_by_telephone_is_traced_under_the_trace_of_the_gateway(tmp_path: Path) -> None:
    async def main(endpoint: str) -> None:
        config = make_config(
            OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, ENGINE_JOURNAL_FOLDER=str(tmp_path), TWILIO_AUTH_TOKEN=AUTH_TOKEN
        )
        async with serving(config) as server:
            told = await Webhook(AUTH_TOKEN, server.http, added={"traceparent": PARENT}).incoming(CALL)
            async with Stream(AUTH_TOKEN, told.media_url, local(server, told.media_url), CALL, told.parameters) as line:
                await line.until(lambda: len(line.played) > 160)
                await line.stop()
                await line.until_closed()

    with collector() as traced:
        run(main(traced.endpoint))
        (session,) = [span for span in traced.spans() if span.name == "voice.session"]
    assert (session.trace_id.hex(), session.parent_span_id.hex()) == tuple(PARENT.split("-")[1:3])
    (journal,) = tmp_path.glob("*.jsonl")
    with Journal(journal) as recorded:
        assert recorded.header.traceparent == PARENT


def test_a_call_is_traced_under_its_callers_trace() -> None:
    with collector() as traced:

        async def main() -> None:
            config = make_config(OTEL_EXPORTER_OTLP_ENDPOINT=traced.endpoint)
            async with (
                serving(config) as server,
                page(server.ws, additional_headers={"traceparent": PARENT}) as visitor,
            ):
                await visitor.until(type="agent", state="speaking")
                await visitor.say(type="bye")
                await visitor.until(type="bye")

        run(main())
        (session,) = [span for span in traced.spans() if span.name == "voice.session"]
        assert session.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"
        assert session.parent_span_id.hex() == "b7ad6b7169203331"
        (greeting,) = [span for span in traced.spans() if span.name == "invoke_agent engine"]
        assert greeting.links[0].span_id == session.span_id
        assert [point.count for point in traced.points("voice.stage.first_byte")] == [1]
