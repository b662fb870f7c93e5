"""The fault matrix: a whole call through the real engine for every way a provider can fail, at every stage.

The first provider of one stage is faulty, the second is well. A caller chirps a sentence; what is then heard is read off the sound.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import pairwise
from typing import Any, NamedTuple

from msgspec.structs import replace

from engine.adapters.registry import provider_class
from engine.agent import Agent
from engine.audio import level
from engine.core.commands import Role
from engine.core.events import Stage
from engine.core.policy import BALANCED, Policy
from engine.core.state import State
from engine.core.units import SECOND
from engine.errors import AdapterError
from engine.runtime.effects import Providers
from engine.runtime.host import Host
from engine.sandbox import simulated
from engine.sandbox.base import Behaviour, Fault, SimulatedProvider
from engine.sandbox.relay import Relay
from engine.sandbox.speech import Ear, speak
from engine.transports.file import FileTransport
from engine.transports.wav import Sound

CHOSEN = {
    Stage.ASR: ("deepgram", "assemblyai"),
    Stage.LLM: ("openai", "anthropic"),
    Stage.TTS: ("elevenlabs", "cartesia"),
}
SAID = "is there a table for eight tonight"
ANSWER = f"you said: {SAID}"
BEFORE_MS = 500
WAIT_NS = 25 * SECOND
"""For the answer, after the caller's last word."""
HALF_OPEN_BYTES = {Stage.ASR: 1_500, Stage.LLM: 900, Stage.TTS: 30_000}
"""Of the server's words before the line goes dead: in the middle of the answer."""

FAULTS: dict[str, Behaviour] = {
    "none": Behaviour(),
    "refused": Behaviour(),
    "no such host": Behaviour(),
    "TLS fails": Behaviour(),
    "401": Behaviour(status=401),
    "429, retry-after 1 s": Behaviour(status=429, retry_after_s=1),
    "500": Behaviour(status=500),
    "slow first byte": Behaviour(first_ms=20_000),
    "stall mid-stream": Behaviour(fault=Fault.STALL, fault_after=3),
    "close mid-stream": Behaviour(fault=Fault.CLOSE, fault_after=3),
    "half-open line": Behaviour(),
    "malformed message": Behaviour(fault=Fault.GARBAGE, fault_after=3),
    "wrong format": Behaviour(fault=Fault.FORMAT, fault_after=0),
}


class Loud:
    """A detector for chirps: sound is voice."""

    def score(self, frame: bytes) -> float:
        return float(level(frame).rms > 300)


class Heard(NamedTuple):
    """What came of one call."""

    text: str
    """What the caller understood of the agent, whole words."""
    first_ms: int
    """From the end of the caller's sentence to the agent's first sound. -1: none."""
    longest_gap_ms: int
    """The longest silence inside what the agent said."""
    caller: list[str]
    agent: list[str]
    """The conversation's memory."""
    retries: list[str]
    """Which providers were tried, in order: "llm openai timeout"."""


@asynccontextmanager
async def addressed(fault: str, stage: Stage, server: SimulatedProvider) -> AsyncIterator[None]:
    """The server under an address that fails as told, for faults of the line."""
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(server.serve())
        if fault == "refused":
            await stack.aclose()
        elif fault == "no such host":
            server.url = "http://nowhere.invalid"
        elif fault == "TLS fails":
            server.url = address.replace("http:", "https:")
        elif fault == "half-open line":
            relay = Relay(address, freeze_after_bytes=HALF_OPEN_BYTES[stage])
            server.url = await stack.enter_async_context(relay.serve())
        yield


async def call(fault: str, stage: Stage, policy: Policy = BALANCED, *, alone: bool = False) -> Heard:
    """One call whose first provider of a stage has the fault: every time; or, where it is alone, the first time."""
    async with AsyncExitStack() as stack:
        made: dict[Stage, dict[str, Any]] = {each: {} for each in CHOSEN}
        for each, names in CHOSEN.items():
            for name in names[:1] if alone and each is stage else names:
                faulty = (each, name) == (stage, CHOSEN[stage][0])
                behaviour = replace(FAULTS[fault], faults=1 if alone else -1) if faulty else None
                server = simulated(each, name, behaviour)
                await stack.enter_async_context(addressed(fault if faulty else "", each, server))
                kind = provider_class(each, name)
                options = {"model": "m"} if name == "openai" else {}
                if name == "deepgram" and each is Stage.ASR:
                    # Of Deepgram's two recognisers the one that judges turns, as the second provider does.
                    options["model"] = "flux-general-en"
                provider = made[each][name] = kind(kind.options(**{**options, **server.settings()}))
                stack.push_async_callback(provider.stop)
                with suppress(AdapterError):
                    await provider.start()
        return await _carry(made, policy)


async def _carry(made: dict[Stage, dict[str, Any]], policy: Policy) -> Heard:
    providers = Providers(asr=made[Stage.ASR], llm=made[Stage.LLM], tts=made[Stage.TTS])
    names = {stage.value: tuple(each) for stage, each in made.items()}
    agent = Agent("Be brief.", policy=policy, **names)
    last, tried = State(), list[str]()

    def observe(_info: Any) -> Any:
        def see(event: Any, _before: State, after: State, _commands: Any) -> None:
            nonlocal last
            last = after
            if type(event).__name__ == "AdapterFailed":
                tried.append(f"{event.stage.value} {event.provider} {event.kind.value}")

        return see

    host = Host(providers, Loud, observers=[observe], clock=time.monotonic_ns)
    caller = Sound(16_000, bytes(32 * BEFORE_MS) + speak(SAID, 16_000))
    transport = FileTransport(caller, quiet_ns=WAIT_NS)
    task = asyncio.create_task(host.call(transport, agent))
    await asyncio.wait({task, asyncio.create_task(_answered(transport, task))}, return_when=asyncio.FIRST_COMPLETED)
    await transport.hang_up("heard enough")
    await asyncio.wait({task})
    host.breakers.stop()
    return read(transport.agent_sound, len(caller.pcm) // 32, last, tried)


async def _answered(transport: FileTransport, task: "asyncio.Task[Any]") -> None:
    """Return when the agent has said the end of its answer and is quiet."""
    size, quiet = 0, 0
    while not task.done() and not (quiet > 8 and said_all(transport.agent_sound)):
        await asyncio.wait({task}, timeout=0.05)
        grown = len(transport.agent_sound.pcm)
        quiet = quiet + 1 if grown == size and grown else 0
        size = grown


def letters(text: str) -> str:
    """The letters of a text, neighbours that are alike only once: a chirp may be cut in two where the sound was."""
    found = "".join(letter for letter in text.lower() if letter.isalnum())
    return "".join(letter for number, letter in enumerate(found) if found[number - 1 : number] != letter)


def said_all(sound: Sound) -> bool:
    return letters(understood(sound)).endswith(letters(SAID)[-12:])


def understood(sound: Sound) -> str:
    ear = Ear(sound.rate_hz)
    return " ".join(word.text for word in ear.hear(sound.pcm) + ear.hear(bytes(sound.rate_hz)))


def read(sound: Sound, caller_ms: int, last: State, tried: list[str]) -> Heard:
    """What the caller heard, and when."""
    step = 2 * sound.rate_hz // 100
    loud = [number for number in range(len(sound.pcm) // step) if any(sound.pcm[number * step : (number + 1) * step])]
    gaps = [10 * (after - before - 1) for before, after in pairwise(loud)]
    messages = last.conversation.messages
    return Heard(
        text=understood(sound),
        first_ms=10 * loud[0] - caller_ms if loud else -1,
        longest_gap_ms=max(gaps, default=0),
        caller=[message.text for message in messages if message.role is Role.USER],
        agent=[message.text for message in messages if message.role is Role.ASSISTANT],
        retries=tried,
    )


Cell = tuple[str, Stage, bool]
"""A fault, its stage, and whether the provider is the only one of it."""
CELLS: tuple[Cell, ...] = (
    *((fault, stage, False) for fault in FAULTS for stage in CHOSEN),
    *((fault, Stage.ASR, True) for fault in FAULTS if FAULTS[fault].fault or FAULTS[fault].status),
)


async def all_calls(policy: Policy = BALANCED, at_once: int = 13) -> dict[Cell, Heard]:
    """Every cell of the matrix."""
    room = asyncio.Semaphore(at_once)

    async def cell(fault: str, stage: Stage, alone: bool) -> Heard:
        async with room:
            return await call(fault, stage, policy, alone=alone)

    return dict(zip(CELLS, await asyncio.gather(*(cell(*each) for each in CELLS)), strict=True))


def table(found: dict[Cell, Heard]) -> str:
    """The matrix in Markdown."""
    head = [
        "| fault | recogniser | language model | synthesizer | the only recogniser, once |",
        "|---|---|---|---|---|",
    ]
    columns = [*((stage, False) for stage in CHOSEN), (Stage.ASR, True)]
    rows = [f"| {fault} | {' | '.join(shown(found.get((fault, *column))) for column in columns)} |" for fault in FAULTS]
    return "\n".join(head + rows)


def shown(heard: Heard | None) -> str:
    """One cell: how long until the agent spoke, how long it then was silent inside its answer, and what else it said."""
    if heard is None:
        return "–"
    cell = f"{heard.first_ms / 1000:.1f} s"
    if heard.longest_gap_ms > 500:
        cell += f", then a gap of {heard.longest_gap_ms / 1000:.1f} s"
    if any(BALANCED.filler in text for text in heard.agent):
        cell += ", a filler first"
    others = [text for text in heard.agent if letters(text.replace(BALANCED.filler, "")) != letters(ANSWER)]
    return cell + "".join(f'; also "{text}"' for text in others)


if __name__ == "__main__":
    print(table(asyncio.run(all_calls(at_once=3))))
