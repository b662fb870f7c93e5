"""What a caller's screen shows, told as it happens: an observer that turns steps into small messages.

It decides nothing and keeps no clock. That a call begins and ends is the transport's to say. The messages, as `Transport.send_message` is given them (JSON objects on a wire, all keys always
there; times are milliseconds):

    {"type": "phase", "phase": "Listening", "at_ms": 1234}                  whenever it changes; the names of core.state.Phase
    {"type": "caller", "turn": 1, "text": "…", "final": false, "backchannel": false}
                                       words so far of a caller's turn; a later message of the same turn replaces it; final: it stands.
                                       An empty text with final takes the line away: there were no words after all
    {"type": "agent", "run": 7, "text": "…", "heard": 12, "state": "speaking"}
                                       what a run says; `heard` counts the characters of `text` that have been heard, and ends at a word.
                                       state: thinking (no sound yet), speaking, paused (it has yielded), then one of done, interrupted,
                                       failed, each of which is the run's last message; text is then what the history keeps
    {"type": "tool", "call": 3, "name": "find_slots", "state": "running"}   state: running, done, failed, cancelled, timed_out
    {"type": "latency", "run": 7, "turn": 1, "total_ms": 640, "decide_ms": 350, "llm_ms": 90, "tts_ms": 120, "playout_ms": 2}
                                       when a run that answers a turn is first heard. total: the caller fell quiet -> first sound leaves;
                                       decide: -> the turn is taken; llm: the model is asked -> first token; tts: first text to the
                                       synthesizer -> first sound in hand; playout: the rest before it leaves. Speculation makes llm
                                       and tts overlap decide, so they need not add up; a part that is unknown is null
    {"type": "trouble", "stage": "asr", "provider": "…", "kind": "timeout"} a provider failed; the rules deal with it
    {"type": "level", "rms": 812, "speech_prob": 0.93}                      the caller's level, ten times a second (0 to 32768);
                                       sent by the session itself, not from here
"""

from collections.abc import Callable, Mapping

from msgspec.structs import asdict

from engine.core.commands import Commands
from engine.core.events import AdapterFailed, Event
from engine.core.floor import ledger_of
from engine.core.playout import heard_chars
from engine.core.state import CallState, Run, RunEnd, State
from engine.core.turn import words_of
from engine.core.units import MS
from engine.runtime.latency import Stopwatch, TurnLatency

Message = Mapping[str, object]

_LAST = {
    RunEnd.FINISHED: "done",
    RunEnd.INTERRUPTED: "interrupted",
    RunEnd.CANCELLED: "interrupted",
    RunEnd.CLOSED: "interrupted",
    RunEnd.FAILED: "failed",
}
"""How a run's end reads. A superseded run was never shown."""


class Captions:
    """Watches one session for one screen."""

    def __init__(self, send: Callable[[Message], None]) -> None:
        self._send = send
        self._caller = ""
        self._agent: dict[int, tuple[str, int, str]] = {}
        """The last message of each run that is on the screen and not over."""
        self._stopwatch = Stopwatch(self._show_latency)

    def __call__(self, event: Event, before: State, after: State, commands: Commands) -> None:
        if after.phase is not before.phase:
            self._send({"type": "phase", "phase": after.phase.value, "at_ms": after.at // MS})
        if after.turn is not before.turn:
            self._show_caller(before, after)
        if (
            after.response is not before.response
            or after.playout is not before.playout
            or after.contest is not before.contest
        ):
            self._show_agent(after)
        if after.tools is not before.tools:
            self._show_tools(before, after)
        self._stopwatch(event, before, after, commands)
        if type(event) is AdapterFailed:
            kind = {"stage": event.stage.value, "provider": event.provider, "kind": event.kind.value}
            self._send({"type": "trouble", **kind})

    def _show_caller(self, before: State, after: State) -> None:
        number = before.turn.taken + 1
        if after.turn.taken > before.turn.taken:
            self._say_caller(number, after.turn.last_text, final=True, backchannel=False)
        elif after.turn.last_taken_at > before.turn.last_taken_at:
            self._say_caller(number, after.turn.last_text, final=True, backchannel=True)
        words = words_of(after.turn)
        if words != self._caller:
            self._say_caller(after.turn.taken + 1, words, final=not words, backchannel=False)

    def _say_caller(self, turn: int, text: str, *, final: bool, backchannel: bool) -> None:
        self._caller = "" if final else text
        self._send({"type": "caller", "turn": turn, "text": text, "final": final, "backchannel": backchannel})

    def _show_agent(self, after: State) -> None:
        run = after.response.run
        if run is not None and run.committed:
            self._say_agent(run, after, self._state_of(run, after))
        for past in after.response.past:
            if past.number in self._agent and past.end is not None:
                self._say_agent(past, after, _LAST.get(past.end, "interrupted"))
                del self._agent[past.number]

    def _state_of(self, run: Run, after: State) -> str:
        if after.contest.run == run.number:
            return "paused"
        ledger = ledger_of(after, run.number)
        return "speaking" if ledger is not None and ledger.started_at is not None else "thinking"

    def _say_agent(self, run: Run, after: State, state: str) -> None:
        ledger = ledger_of(after, run.number)
        heard = heard_chars(ledger, after.setup.policy.speech_chars_per_s) if ledger is not None else 0
        text = run.text[:heard] if state == "interrupted" else run.text
        shown = (text, heard, state)
        if self._agent.get(run.number) != shown:
            self._agent[run.number] = shown
            self._send({"type": "agent", "run": run.number, "text": text, "heard": heard, "state": state})

    def _show_tools(self, before: State, after: State) -> None:
        known = {call.number: call.state for call in before.tools.calls}
        for call in after.tools.calls:
            if call.state is not CallState.HELD and known.get(call.number) is not call.state:
                self._send({"type": "tool", "call": call.number, "name": call.name, "state": call.state.value})

    def _show_latency(self, latency: TurnLatency) -> None:
        parts = {
            name.removesuffix("_ns") + "_ms": _ms(value)
            for name, value in asdict(latency).items()
            if name[-3:] == "_ns"
        }
        self._send({"type": "latency", "run": latency.run, "turn": latency.turn, **parts})


def _ms(value_ns: int | None) -> int | None:
    return None if value_ns is None else value_ns // MS
