"""Calls that we place: the order, what Twilio tells of their progress, and how they ended.

The order goes out over Twilio's REST API; the media comes back to us like that of a call that came in, through the same signed
webhook. What Twilio then tells (its status callbacks, and who picked up) is kept here by call.
"""

import asyncio
import logging
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from engine.core.events import CallAnswered
from engine.core.units import TARGET
from engine.errors import ConfigError, EngineError
from engine.server.carrier import CallOrder, Machine, TwilioApi
from engine.server.lines import Lines
from engine.settings import TwilioSettings

log = logging.getLogger("engine.server")

RING_SECONDS, RING_SECONDS_MAX = 60, 600
REMEMBERED = 10_000
"""Calls whose progress is known; the oldest are forgotten first."""
LATE_SECONDS = 60
"""After the longest that a call can last, its last callback is not waited for any more: Twilio is asked."""
LIMIT_SECONDS = 4 * 3_600
"""The longest call; Twilio ends it."""
BUSY, FAILED, UNANSWERED, CANCELED, COMPLETED = "busy", "failed", "no-answer", "canceled", "completed"
OVER = frozenset({BUSY, FAILED, UNANSWERED, CANCELED, COMPLETED})
OUTBOUND = "outbound-api"
PLACED = "placed "
"""Before a call's name, in the note of which worker placed it."""
PICKED_UP = {"human": "human", "fax": "fax"}


class Progress(Struct):
    """What is known of a call that we placed."""

    call_sid: str
    target: str = ""
    status: str = "queued"
    """Twilio's word: queued, initiated, ringing, in-progress, and at the end completed, busy, no-answer, failed or canceled."""
    answered_by: str = ""
    """human, machine, fax or unknown. Empty: nobody has said."""
    seconds: int = 0
    """How long it lasted, from answer to end."""
    sip_code: int = 0
    """Of the last SIP answer, such as 486 for busy. 0: not told."""
    sequence: int = -1
    """Of the newest callback."""

    @property
    def over(self) -> bool:
        return self.status in OVER


class CannotDial(EngineError):
    """No call was placed: there is no room, or the providers do not start."""


class OutboundCall:
    """One call that was placed."""

    def __init__(self, dialler: "Dialler", sid: str) -> None:
        self._dialler = dialler
        self.sid = sid

    @property
    def progress(self) -> Progress:
        """How it stands now."""
        return self._dialler.progress(self.sid) or Progress(self.sid)

    async def ended(self) -> Progress:
        """Wait until it is over, and say how it went. Bounded by the longest call."""
        return await self._dialler.ended(self.sid)

    async def hang_up(self) -> None:
        """End it, whether it rings or speaks. Raises AdapterError."""
        await self._dialler.hang_up(self.sid)


class Dialler:
    """Places calls, and keeps what is told of them."""

    def __init__(self, settings: TwilioSettings, lines: Lines, api: TwilioApi | None) -> None:
        """api: None where the settings name no account."""
        self._settings = settings
        self._lines = lines
        self._api = api
        self._neighbours = lines.neighbours
        self._calls: dict[str, Progress] = {}
        self._ends: dict[str, asyncio.Event] = {}

    async def dial(
        self, target: str, *, caller: str = "", machine: str = "", ring_seconds: int = RING_SECONDS
    ) -> OutboundCall:
        """Call somebody, and let the agent talk to whoever picks up.

        target:       a telephone number (E.164) or SIP address.
        caller:       the number it comes from; the configured one where empty.
        machine:      "detect" or "message": whether Twilio tells an answering machine, at once or after its greeting.
        ring_seconds: 1 to 600.
        Raises:       ConfigError, CannotDial, AdapterError.
        """
        api = self._checked()
        order = self._order(target, caller or self._settings.number, machine, ring_seconds)
        if not await self._lines.ready() or not self._lines.host.has_room:
            raise CannotDial("there is no room for another call")
        placed = await api.place(order)
        # The first callbacks may have come before this answer, and to another worker. From now on they are for this one.
        other = self._neighbours.holder(PLACED + placed.sid)
        known = self._known(placed.sid)
        known.target = target
        early = await self._ask(other, placed.sid)
        if early is not None and early.sequence > known.sequence:
            known.sequence, known.sip_code = early.sequence, early.sip_code
            self._move(known, early.status, early.seconds)
        log.info("placed a call", extra={"call": placed.sid})
        return OutboundCall(self, placed.sid)

    def _checked(self) -> TwilioApi:
        problems = []
        if self._api is None:
            problems.append("outbound calls need an account; set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN")
        if not self._settings.auth_token:
            problems.append("outbound calls need TWILIO_AUTH_TOKEN, with which Twilio's webhooks are signed")
        if not self._settings.public_url:
            problems.append("outbound calls need twilio.public_url, where Twilio reaches this service")
        if problems or self._api is None:
            raise ConfigError(*problems)
        return self._api

    def _order(self, target: str, caller: str, machine: str, ring_seconds: int) -> CallOrder:
        problems = []
        if not TARGET.fullmatch(target):
            problems.append(f"{target!r} is neither a telephone number such as +15550001111 nor a SIP address")
        if not TARGET.fullmatch(caller):
            problems.append("a call needs the number it comes from, such as +15550001111; twilio.number is the default")
        if machine not in tuple(Machine):
            problems.append(f"machine is {machine!r}; allowed: detect, message or nothing")
        if not 1 <= ring_seconds <= RING_SECONDS_MAX:
            problems.append(f"ring_seconds is {ring_seconds}; allowed: 1 to {RING_SECONDS_MAX}")
        if problems:
            raise ConfigError(*problems)
        base = self._settings.public_url.rstrip("/")
        return CallOrder(
            target=target,
            caller=caller,
            voice_url=f"{base}/twilio/voice",
            status_url=f"{base}/twilio/status",
            machine_url=f"{base}/twilio/machine",
            machine=Machine(machine),
            ring_seconds=ring_seconds,
            limit_seconds=LIMIT_SECONDS,
        )

    def progress(self, call_sid: str) -> Progress | None:
        """What is known here of a call of ours."""
        return self._calls.get(call_sid)

    async def find(self, call_sid: str) -> Progress | None:
        """What is known of a call, whichever worker placed it."""
        return await self._ask(self._neighbours.holder(PLACED + call_sid), call_sid) or self.progress(call_sid)

    async def _ask(self, worker: str, call_sid: str) -> Progress | None:
        """What another worker knows of a call. worker: empty: there is none to ask."""
        answer = await self._neighbours.ask(worker, "/placed", call_sid.encode()) if worker else None
        return None if answer is None else msgspec.json.decode(answer.content, type=Progress)

    async def hang_up(self, call_sid: str) -> None:
        """End a call. Raises ConfigError, AdapterError."""
        await self._checked().hang_up(call_sid)

    async def ended(self, call_sid: str, seconds: float = RING_SECONDS_MAX + LIMIT_SECONDS + LATE_SECONDS) -> Progress:
        """Wait for a call's end. When nobody has told of it in so many seconds, Twilio is asked once. Raises AdapterError then."""
        known = self._known(call_sid)
        if not known.over:
            try:
                async with asyncio.timeout(seconds):
                    await self._ends.setdefault(call_sid, asyncio.Event()).wait()
            except TimeoutError:
                fetched = await self._checked().fetch(call_sid)
                self._move(known, fetched.status, int(fetched.duration or 0))
        return known

    async def close(self) -> None:
        if self._api is not None:
            await self._api.close()

    # What Twilio tells.

    def note_status(self, fields: Mapping[str, str]) -> str:
        """A status callback; they may come late, twice and out of order. Returns the call's name when it is over, else ""."""
        call_sid, status = fields.get("CallSid", ""), fields.get("CallStatus", "")
        known = self._calls.get(call_sid)
        placed_here = fields.get("Direction") == OUTBOUND and not self._neighbours.holder(PLACED + call_sid)
        if known is None and placed_here:
            known = self._known(call_sid)  # The first callback may come before the order's own answer.
        if known is not None:
            sequence = number_in(fields.get("SequenceNumber", ""))
            if not known.over and (sequence > known.sequence or status in OVER):
                known.sequence = max(sequence, known.sequence)
                known.sip_code = number_in(fields.get("SipResponseCode", "")) or known.sip_code
                self._move(known, status, number_in(fields.get("CallDuration", "")))
        return call_sid if status in OVER else ""

    def note_machine(self, fields: Mapping[str, str]) -> CallAnswered:
        """Who picked up, in Twilio's judgement."""
        word = fields.get("AnsweredBy", "")
        by = "machine" if word.startswith("machine") else PICKED_UP.get(word, "unknown")
        known = self._calls.get(fields.get("CallSid", ""))
        if known is not None:
            known.answered_by = by
        return CallAnswered(by=by)

    async def facts_of(self, call_sid: str) -> tuple[CallAnswered, ...]:
        """What was known of a call before its media came."""
        known = await self.find(call_sid)
        return (CallAnswered(by=known.answered_by),) if known is not None and known.answered_by else ()

    def _move(self, known: Progress, status: str, seconds: int) -> None:
        known.status = status or known.status
        known.seconds = seconds or known.seconds
        if known.over and (waiting := self._ends.pop(known.call_sid, None)) is not None:
            waiting.set()

    def _known(self, call_sid: str) -> Progress:
        known = self._calls.get(call_sid)
        if known is None:
            while len(self._calls) >= REMEMBERED:
                oldest = next(iter(self._calls))
                del self._calls[oldest]
                self._neighbours.leave(PLACED + oldest)
            known = self._calls[call_sid] = Progress(call_sid)
            self._neighbours.hold(PLACED + call_sid)
        return known


def number_in(text: str) -> int:
    """A number that Twilio writes as text; 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
