"""What the caller's screen is told."""

from typing import Any

from msgspec.structs import replace

from engine.core.events import AdapterFailed, ASRPartial, InterruptRequested, PlayoutStarted
from engine.errors import FailureKind
from engine.runtime import captions
from tests.fakes import CAPABILITIES, Call, fails, tool, virtually

SCREEN = replace(CAPABILITIES, screen=True)
LONG = "And the sun is shining brightly over the hills and the lake and the whole of the town today."


def shown(call: Call, kind: str) -> list[dict[str, Any]]:
    return [dict(message) for message in call.peer.messages if message["type"] == kind]


@virtually
async def test_a_screen_follows_the_call() -> None:
    async with Call(SCREEN, greeting="Hello.") as call:
        call.brain.scripts = [[(100, "It is "), (20, "noon.")]]
        await call.pass_ms(1_500)
        await call.say("what time is it")
        await call.pass_ms(3_000)
    phases = [message["phase"] for message in shown(call, "phase")]
    assert phases[:6] == ["Generating", "Speaking", "Idle", "Listening", "Transcribing", "Generating"]
    caller = shown(call, "caller")
    assert caller[0] == {"type": "caller", "turn": 1, "text": "what time is it", "final": False, "backchannel": False}
    assert caller[-1] == {"type": "caller", "turn": 1, "text": "what time is it", "final": True, "backchannel": False}
    states = [(message["run"], message["state"]) for message in shown(call, "agent")]
    assert list(dict.fromkeys(states)) == [
        *((1, state) for state in ("thinking", "speaking", "done")),
        *((2, state) for state in ("thinking", "speaking", "done")),
    ]
    last = shown(call, "agent")[-1]
    assert (last["text"], last["heard"]) == ("It is noon.", len("It is noon."))


@virtually
async def test_the_agents_words_appear_as_they_are_heard() -> None:
    async with Call(SCREEN) as call:
        call.brain.scripts = [[(50, LONG)]]
        await call.say("tell me")
        await call.pass_ms(8_000)
        heard = [message["heard"] for message in shown(call, "agent") if message["state"] == "speaking"]
    assert heard == sorted(heard)
    assert len(set(heard)) > 10
    assert all(end == 0 or LONG[end : end + 1] in (" ", "") for end in heard)


@virtually
async def test_an_interrupted_answer_ends_where_it_was_cut() -> None:
    async with Call(SCREEN) as call:
        call.brain.scripts = [[(50, LONG)]]
        await call.say("tell me")
        await call.pass_ms(2_000)
        call.session.post(InterruptRequested())
        await call.pass_ms(200)
        last = shown(call, "agent")[-1]
        kept = call.state.conversation.messages[-1]
    assert last["state"] == "interrupted"
    assert last["text"] == kept.text
    assert 0 < len(kept.text) < len(LONG)


@virtually
async def test_a_yielded_answer_is_paused() -> None:
    async with Call(SCREEN) as call:
        call.brain.scripts = [[(50, LONG)]]
        await call.say("tell me")
        await call.pass_ms(1_500)
        await call.pass_ms(200, voice=True)
        assert shown(call, "agent")[-1]["state"] == "paused"
        await call.pass_ms(1_000)
        assert shown(call, "agent")[-1]["state"] == "speaking"


@virtually
async def test_a_guess_is_not_shown() -> None:
    async with Call(SCREEN) as call:
        call.brain.scripts = [[(50, "Yes.")], [(50, "No.")]]
        await call.pass_ms(600, voice=True)
        call.stream.say(ASRPartial(ear=1, text="Is it noon?"))
        await call.pass_ms(380)
        assert call.brain.asked
        assert shown(call, "agent") == []


@virtually
async def test_latency_is_told_when_an_answer_is_first_heard() -> None:
    async with Call(SCREEN) as call:
        call.brain.scripts = [[(100, "It is noon. ")]]
        await call.say("what time is it")
        await call.pass_ms(3_000)
        told = shown(call, "latency")[0]
        started = call.facts(PlayoutStarted)[0].at // 1_000_000
    assert (told["run"], told["turn"]) == (1, 1)
    assert told["total_ms"] == started - 800
    assert told["llm_ms"] == 100
    assert told["tts_ms"] == 45


@virtually
async def test_tools_and_trouble_are_shown() -> None:
    async with Call(SCREEN, tools=(tool("book"),)) as call:
        call.brain.scripts = [[(50, fails(FailureKind.TIMEOUT))], [(10, ("book", "{}"))], [(50, "Done.")]]
        call.tools.delay_ms = 100
        await call.say("book me in")
        await call.pass_ms(3_000)
    assert [(message["name"], message["state"]) for message in shown(call, "tool")] == [
        ("book", "running"),
        ("book", "done"),
    ]
    assert shown(call, "trouble") == [{"type": "trouble", "stage": "llm", "provider": "brain", "kind": "timeout"}]
    assert call.facts(AdapterFailed)


@virtually
async def test_the_level_follows_the_voice() -> None:
    async with Call(SCREEN) as call:
        await call.pass_ms(500)
        await call.pass_ms(500, voice=True)
        levels = shown(call, "level")
    assert len(levels) == 10
    assert levels[0] == {"type": "level", "rms": 0, "speech_prob": 0.0}
    assert levels[-1] == {"type": "level", "rms": 6_000, "speech_prob": 1.0}


@virtually
async def test_without_a_screen_nothing_is_sent() -> None:
    async with Call() as call:
        await call.say("hello")
        await call.pass_ms(1_000)
    assert call.peer.messages == []


def test_captions_document_every_message() -> None:
    for kind in ("phase", "caller", "agent", "tool", "latency", "trouble", "level"):
        assert f'"type": "{kind}"' in (captions.__doc__ or "")
