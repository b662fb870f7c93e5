"""What a session is at one moment: a frozen tree of plain values.

Each slice is written by the one file it is named after; `interruption.py` alone may write several (a property test holds this).
Nothing here decides anything.
"""

from enum import StrEnum

from msgspec import Struct

from engine.core.commands import Message
from engine.core.events import Outages, Word
from engine.core.policy import Setup


class Phase(StrEnum):
    """Whose turn it is, and how far. The legal moves are `reduce.PHASES`."""

    IDLE = "Idle"
    LISTENING = "Listening"
    TRANSCRIBING = "Transcribing"
    GENERATING = "Generating"
    SPEAKING = "Speaking"
    INTERRUPTED = "Interrupted"
    CANCELLED = "Cancelled"


class TurnEnd(StrEnum):
    """What decided that the caller had finished."""

    FINISHED = "finished"
    """The words sounded finished, and the short wait passed."""
    UNSURE = "unsure"
    UNFINISHED = "unfinished"
    CAP = "cap"
    """The wait that ends every wait."""
    PROVIDER = "provider"
    """The recogniser said so."""
    TYPED = "typed"
    KEYED = "keyed"
    UNHEARD = "unheard"
    """Speech that took the floor and never became words."""
    FULL = "full"
    """The transcript reached its limit."""


class Turn(Struct, frozen=True, gc=False, kw_only=True):
    """The caller's side: has the caller finished? (turn.py)"""

    speaking: bool = False
    """The detector hears the caller now."""
    onset_at: int | None = None
    """Wall time of the first speech of this turn."""
    speech_ns: int | None = None
    """Where in the caller's sound the current, or last, stretch of speech began."""
    quiet_ns: int | None = None
    """Where in the caller's sound it ended."""
    quiet_at: int | None = None
    """Wall time at which the caller's sound had ended, hangover taken off. None while speaking."""
    text: str = ""
    """Finals of this turn."""
    partial: str = ""
    """What follows them, so far."""
    changed_at: int = 0
    """When the words last changed."""
    eager: bool = False
    """The recogniser thinks the turn may be over."""
    over: bool = False
    """The recogniser says the turn is over."""
    asked_final_at: int | None = None
    """When the recogniser was asked to finish its words."""
    complete_prob: float | None = None
    """A detector's judgement of the words as they stand."""
    typed: bool = False
    """The words were typed: a whole turn."""
    final: str = ""
    """The last final, to know it again should it come twice."""
    final_speech_ns: int | None = None
    """The stretch of speech it belonged to."""
    keys: str = ""
    """Keys pressed and not yet a turn."""
    keyed_at: int = 0
    level_db: int = 0
    """How loud the present, or last, voice is at its loudest. 0: not measured."""
    own_level_db: int = 0
    """How loud the caller's turns were, smoothed. 0: not known yet."""
    pause_ns: int = 0
    """The caller's own mid-turn pauses, smoothed. 0: none known."""
    taken: int = 0
    """Turns ended so far."""
    unheard: int = 0
    """Voices so far that were long enough for words and never became any, asked about or not."""
    last_text: str = ""
    """The words of the turn last ended."""
    last_end: TurnEnd | None = None
    last_quiet_at: int | None = None
    """When the caller fell quiet in it: latency counts from here."""
    last_onset_at: int | None = None
    last_taken_at: int = 0


class Contest(Struct, frozen=True, gc=False, kw_only=True):
    """Two voices at once: who keeps the floor? (interruption.py)"""

    run: int = 0
    """The run that yielded and waits for the decision. 0: none."""
    yielded_at: int = 0
    heard: bool = False
    """The recogniser said StartOfTurn."""
    resumed: int = 0
    """Floors taken back, in this session."""
    interrupted: int = 0
    """Floors lost."""
    onset_at: int | None = None
    """When the speech that last took the floor had begun."""
    silenced_at: int = 0
    """When the agent last fell silent for it."""
    wordless: bool = False
    """The floor was lost to a voice without words; if none come, the agent must not stay mute."""


class Cause(StrEnum):
    """Why a run began."""

    TURN = "turn"
    GREETING = "greeting"
    SAY = "say"
    TOOL = "tool"
    """A detached tool has answered."""
    UNHEARD = "unheard"
    IDLE = "idle"
    GOODBYE = "goodbye"
    FAREWELL = "farewell"


class RunEnd(StrEnum):
    """How a run ended."""

    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    """By the caller, after the first sound."""
    CANCELLED = "cancelled"
    """By the caller, before any sound."""
    SUPERSEDED = "superseded"
    """Speculative, and the caller said something else."""
    FAILED = "failed"
    """The providers gave out."""
    CLOSED = "closed"
    """The session ended."""


class Request(Struct, frozen=True, gc=False, kw_only=True):
    """One question to one language model."""

    number: int
    provider: int
    """Index into Setup.llm."""
    asked_at: int
    token_at: int | None = None
    """When it last said anything."""


class Round(Struct, frozen=True, gc=False):
    """What one request contributed to the answer: text up to a place, then tool calls."""

    end_char: int
    calls: tuple[int, ...] = ()


class Run(Struct, frozen=True, gc=False, kw_only=True):
    """One attempt to answer."""

    number: int
    cause: Cause
    began_at: int
    began_audio_ns: int = 0
    """Where in the caller's sound it began, or was committed: a voice counts against it from there."""
    committed: bool = True
    """False: speculative; nothing of it may be heard and no tool may run."""
    prompt: str = ""
    """The caller's words it answers."""
    turn: int = 0
    """Number of the caller's turn it answers. 0: none."""
    interruptible: bool = True
    requests: tuple[Request, ...] = ()
    """Live ones; two when hedged."""
    provider: int = 0
    """The language model in use."""
    tries: int = 0
    """Failures of the model in use."""
    tried: tuple[int, ...] = ()
    """Models it has given up."""
    retry_at: int | None = None
    hedged: bool = False
    text: str = ""
    """The whole answer so far."""
    rounds: tuple[Round, ...] = ()
    """Finished rounds, in order."""
    calls: tuple[int, ...] = ()
    """Tool calls of the round under way."""
    written: bool = False
    """The model will say no more."""
    failed: bool = False
    """It ends in an apology."""
    filled: bool = False
    """The filler has been said in this wait."""
    called_at: int = 0
    """When the present wait for tools began."""
    first_token_at: int | None = None
    end: RunEnd | None = None
    ended_at: int = 0
    then_end: str = ""
    """Hang up for this reason once it has been heard."""
    then_transfer: str = ""


class Say(Struct, frozen=True, gc=False):
    """A text waiting to be said."""

    text: str
    cause: Cause = Cause.SAY
    interruptible: bool = True
    then_end: str = ""
    then_transfer: str = ""


class Response(Struct, frozen=True, gc=False, kw_only=True):
    """The agent's side: the live run and those before it. (response.py; generation.py and recovery.py for the live one)"""

    run: Run | None = None
    past: tuple[Run, ...] = ()
    """Ended runs, newest last, bounded by LIMITS.runs_remembered."""
    runs: int = 0
    """Runs begun."""
    requests: int = 0
    """Requests made."""
    answered: int = 0
    """The caller's turns taken up."""
    says: tuple[Say, ...] = ()
    """Texts to say when the floor is free."""
    failures: int = 0
    """Failed runs in a row."""
    ending: str = ""
    """The call is to end, for this reason."""
    told: int = 0
    """Detached tool calls whose results have been taken up."""
    prompted: int = 0
    """Idle prompts taken up."""
    apologised: int = 0
    """Apologies for lost recognition taken up."""
    guessed: int = 0
    """Number of the turn the speculative runs counted below were for."""
    guesses: int = 0
    resting: tuple[int, ...] = ()
    """Models that were given up in this call a short while ago."""
    resting_until: int = 0
    """When they are as good as any again."""


class Chunk(Struct, frozen=True, gc=False, kw_only=True):
    """One piece of text on its way to the ear."""

    number: int
    start_char: int
    """In the run's text."""
    text: str
    asked_at: int
    duration_ns: int | None = None
    """None until all its sound is in hand."""
    words: tuple[Word, ...] = ()


class Ledger(Struct, frozen=True, gc=False, kw_only=True):
    """What was asked, synthesised and heard of one run."""

    run: int
    chunks: tuple[Chunk, ...] = ()
    cut: int = 0
    """How much of the run's text has been handed to the synthesizer."""
    mute: bool = False
    """No synthesizer could speak it."""
    heard_ns: int = 0
    opened_at: int | None = None
    """When the caller was first allowed to hear it."""
    started_at: int | None = None
    """When its first sound left."""
    served_at: int = 0
    """When the synthesizer last finished a chunk."""
    moved_at: int = 0
    """When `heard_ns` last grew, or could have begun to."""
    cleared: bool = False


class Playout(Struct, frozen=True, gc=False, kw_only=True):
    """What was queued and heard, run by run. (playout.py)"""

    ledgers: tuple[Ledger, ...] = ()
    """Newest last, bounded by LIMITS.runs_remembered + 1."""
    starved: int = 0
    """Times the ear caught up with a run that had more to say."""
    voice: int = 0
    """The synthesizer in use: index into Setup.tts."""
    tries: int = 0
    """Its failures in a row."""
    tried: tuple[int, ...] = ()
    """Synthesizers given up since one last finished a chunk."""


class Conversation(Struct, frozen=True, gc=False, kw_only=True):
    """The history, cut back to what was heard. (conversation.py)"""

    messages: tuple[Message, ...] = ()
    turns: int = 0
    """The caller's turns written down."""
    kept: int = 0
    """Number of the last run written down."""


class CallState(StrEnum):
    """Where a tool call stands."""

    HELD = "held"
    """Asked for by a speculative run: it waits for the commit."""
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


class ToolCall(Struct, frozen=True, gc=False, kw_only=True):
    """One call of a tool, with its one result."""

    number: int
    run: int
    call_id: str
    name: str
    arguments: str
    state: CallState
    detached: bool = False
    """Its run is gone; the result is told in another."""
    due: int = 0
    """When it is given up, on the wall clock."""
    output: str = ""


class Tools(Struct, frozen=True, gc=False, kw_only=True):
    """Tool calls of the live and the remembered runs. (tools.py)"""

    calls: tuple[ToolCall, ...] = ()
    made: int = 0
    """Calls ever made."""
    detached: int = 0
    """Results that came after their run was gone, and are to be told."""


class Ear(Struct, frozen=True, gc=False, kw_only=True):
    """The recognition stream. (ear.py)"""

    number: int = 0
    """0: none was asked for."""
    provider: int = 0
    """Index into Setup.asr."""
    open: bool = False
    tries: int = 0
    """Failures since it last heard a word."""
    tried: tuple[int, ...] = ()
    """Recognisers given up since one last finished a word."""
    asked_at: int = 0
    retry_at: int | None = None
    down_at: int | None = None
    """When recognition was lost. None while it works."""
    apologies: int = 0
    lost: bool = False
    """Given up: the call is to end."""
    unheard: int = 0
    """Of `Turn.unheard`, those since words were last heard."""
    judged: int = 0
    """Of `Turn.unheard`, those looked at."""
    opened_at: int = 0
    proved: bool = False
    """The present stream has heard a word."""


class Idle(Struct, frozen=True, gc=False, kw_only=True):
    """Both sides quiet. (idle.py)"""

    since: int | None = None
    prompts: int = 0
    """Prompts asked for in this session."""
    row: int = 0
    """Of these, since the caller last did anything."""
    over: bool = False
    """The call is to end: nobody there, or the longest call reached."""


class Counters(Struct, frozen=True, gc=False, kw_only=True):
    """What went by without effect. (reduce.py)"""

    stale: int = 0
    """Facts of dead runs, requests, chunks and ears."""
    rejected: int = 0
    """Unusable input."""
    backwards: int = 0
    """Facts from the past, taken as of now."""


class Deadlines(Struct, frozen=True, gc=False):
    """The next moments at which anything must happen, one on each clock."""

    wall_ns: int | None = None
    audio_ns: int | None = None


NEVER = Deadlines()
"""Nothing is waited for."""


class State(Struct, frozen=True, gc=False, kw_only=True):
    """A whole session at one moment."""

    at: int = 0
    """The session's clock: the last fact's."""
    audio_ns: int = 0
    """How much of the caller's sound has been heard, as far as facts have told."""
    phase: Phase = Phase.IDLE
    setup: Setup = Setup()
    seed: int = 0
    outages: Outages = Outages()
    """Providers that fail other calls too."""
    started: bool = False
    ended: str = ""
    """Why the session ended. Empty while it lives."""
    lost_at: int | None = None
    """The transport is away since then."""
    answered_by: str = ""
    """Who picked up an outbound call, in the carrier's judgement."""
    turn: Turn = Turn()
    contest: Contest = Contest()
    response: Response = Response()
    playout: Playout = Playout()
    conversation: Conversation = Conversation()
    tools: Tools = Tools()
    ear: Ear = Ear()
    idle: Idle = Idle()
    counters: Counters = Counters()
    deadlines: Deadlines = NEVER
