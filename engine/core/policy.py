"""Every number of conversation, in one place, with its unit, its reason and its precedents; and what a session is given to work with.

A `Policy` decides how patient the agent is; a `Setup` is the rest of what the rules need to know when a call begins. Both arrive
in `SessionStarted`, so a journal carries them and a replay needs no configuration.
"""

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from engine.core.units import MS, SECOND

BACKCHANNELS = (
    "uh huh", "uhhuh", "mm hmm", "mhm", "mhmm", "mm", "hmm", "hm", "mmm", "uh", "um", "ah", "oh", "okay", "ok", "yeah", "yep",
    "right", "sure", "i see", "got it", "alright", "all right", "great", "good", "cool", "wow", "really", "of course", "go on",
)  # fmt: skip
"""What people say to show that they listen. Precedents: the Switchboard corpus's most frequent acknowledgements (uh-huh, yeah,
right, okay, oh, hmm) and LiveKit's and Vapi's published lists (2026)."""

STOP_WORDS = (
    "stop",
    "wait",
    "hold on",
    "hang on",
    "no",
    "cancel",
    "excuse me",
    "one second",
    "shut up",
    "be quiet",
    "pause",
    "enough",
)
"""What takes the floor at any length. Precedents: Vapi's interruption phrases (2026): stop, shut up, enough, wait, hold on, no."""


class Policy(Struct, frozen=True, kw_only=True, gc=False):
    """How the agent takes turns. Durations are nanoseconds; 0 switches a wait off only where it says so."""

    # Hearing: from detector probabilities to the edges UserSpeechStarted and UserSpeechStopped (runtime/inbound).
    voice_prob_start: float = 0.5
    """Speech may begin at this probability. Precedent: silero's own default, 0.5."""
    voice_prob_stop: float = 0.35
    """Speech lasts while it stays above this. Precedent: silero's own hysteresis, start - 0.15."""
    voice_onset_ns: int = 40 * MS
    """Voiced sound shorter than this is a click. A guess: two frames."""
    voice_hangover_ns: int = 160 * MS
    """Quiet this long ends a stretch of speech. Stop consonants close the mouth for 50 to 120 ms."""

    # Endpointing: the caller has finished. Waits run on the audio clock, from where speech ended.
    endpoint_finished_ns: int = 350 * MS
    """After words that sound finished. Precedents: LiveKit 300 ms with a detector, Vapi 100 to 400 ms after punctuation (2026)."""
    endpoint_unsure_ns: int = 700 * MS
    """After words that could go on. Precedents: pipecat 600 ms, LiveKit 500 ms, Twilio about 500 ms (2026)."""
    endpoint_unfinished_ns: int = 1_800 * MS
    """After words that plainly go on (a trailing "and", three digits of a number). Precedents: Vapi 1,500, LiveKit 2,500 to 3,000 ms."""
    endpoint_cap_ns: int = 4 * SECOND
    """No wait outlives this, on the wall clock, from the moment the caller went quiet. LiveKit's max_delay is 3 s plus its final."""
    endpoint_unheard_ns: int = 1_200 * MS
    """Speech that never became words is let go after this much quiet. Recognisers answer within about 800 ms."""
    endpoint_pause_factor: float = 1.5
    """The medium wait follows the caller's own mid-turn pauses times this, between `finished` and `unfinished`. A guess."""
    finalize_ns: int = 150 * MS
    """Quiet after which the recogniser is asked to finish what it has, so that the final is there when the wait is over. Not below
    `voice_hangover_ns` in effect, for quiet is not known before."""
    final_wait_ns: int = 800 * MS
    """How long a decided turn waits for its last final; then the partial stands. Deepgram's finals come within about 500 ms."""

    # Speculation: think before the caller has certainly finished; nothing is heard of it until then.
    speculate: bool = True
    """Off: a model is asked when the turn is taken, and never in vain. In the scorecard that costs 300 ms a plain turn."""
    speculate_stable_ns: int = 120 * MS
    """Words that sound finished must have stood still this long, with the caller quiet; others must be final too. Precedents: LiveKit
    asks at every final, three times a turn at most; pipecat where the recogniser expects the end."""
    guesses: int = 3
    """Speculative runs for one turn: each costs a request. Precedent: LiveKit, 3."""

    # Barge-in, in two stages. Stretches of speech are measured on the audio clock.
    yield_ns: int = 120 * MS
    """Voiced speech that pauses the agent. Below 100 ms lip smacks pause it; peers cut at 203 to 569 ms (measured)."""
    near_db: int = 18
    """A voice this much quieter than the caller's own does not pause the agent: it is somebody else in the room. Its words still may. A
    guess: 2 m against 10 cm is 26 dB in the open and 15 to 20 dB in a room. 96: every voice counts."""
    own_level_db: int = -26
    """How loud the caller is taken to be until the first turn has shown it. Telephone networks aim at -20 to -26 dB (ITU-T G.168)."""
    interrupt_ns: int = 700 * MS
    """Speech this long takes the floor without a word recognised. Backchannels last 200 to 600 ms."""
    interrupt_words: int = 1
    """Words that are no backchannel take the floor at this count. 1, so that "tomorrow" does; peers that ask for more miss such words."""
    resume_ns: int = 350 * MS
    """Quiet after which a yielded floor is taken back, from the very sample last heard. Recognisers' last partial comes within about 300 ms."""
    contest_cap_ns: int = 6 * SECOND
    """No yielded floor stays undecided longer than this, on the wall clock: the agent goes on. A guess: longer is
    heard as a dead line."""
    answer_margin_ns: int = 1 * SECOND
    """A "yeah" that comes when no more than this of the agent's question is unheard answers it; it is no backchannel. A guess."""

    # Recognition.
    asr_open_ns: int = 5 * SECOND
    """To connect. TLS and a WebSocket handshake take under a second on any line that can carry a call."""
    asr_apology_ns: int = 5 * SECOND
    """Recognition lost this long: the agent says so, once. The caller's sound is kept meanwhile. A guess: callers ask
    whether anyone is there after about 4 s."""
    asr_farewell_ns: int = 30 * SECOND
    """Lost this long: goodbye. Equal to LIMITS.inlet_ns: past it words of the caller would be lost."""

    # The answer.
    llm_first_ns: int = 5 * SECOND
    """To the first token. Field medians are 0.4 to 0.9 s, p99 about 4 s."""
    llm_stall_ns: int = 6 * SECOND
    """Between tokens: providers stall without closing. A guess: a healthy stream pauses for well under a second."""
    llm_hedge_ns: int = 2 * SECOND
    """Ask the next model too when the first has not answered in this; the first to speak wins. Field medians are 0.4 to 0.9 s, so few
    questions are asked twice. 0: never."""
    llm_filler_ns: int = 2_500 * MS
    """Silence before a model's words after which the filler is said, once in an answer. Callers ask whether anyone is there after about
    4 s; the turn's own wait and the voice come on top. 0: never."""
    tts_first_ns: int = 3 * SECOND
    """To the first sound of a chunk. Field medians are 75 to 300 ms."""
    tts_chunk_ns: int = 45 * SECOND
    """To the last sound of a chunk: 400 characters are under 30 s of speech even when synthesised no faster than real time."""
    playout_stall_ns: int = 4 * SECOND
    """Queued sound that does not advance this long is taken as lost, so that no run waits for a mark that never comes. A
    guess: above a telephone network's longest jitter, below a caller's patience."""
    retries: int = 1
    """Further tries of the same provider before the next one is asked. Precedents: pipecat 1 where it is turned on, LiveKit 3."""
    retry_ns: int = 200 * MS
    """Before the first retry; doubled for each further one. The caller is waiting: peers' 1 to 2 s are heard as silence."""
    retry_ns_max: int = 2 * SECOND
    """A provider that asks for a longer wait is skipped. A guess."""
    rest_ns: int = 30 * SECOND
    """A model given up in a call is asked after the others for this long in that call, so that no caller waits for it at every turn.
    0: it is asked first again in the next run. Precedents: circuit breakers rest 5 s (Hystrix, Polly) to 60 s (resilience4j)."""
    failures: int = 3
    """Runs that failed one after the other before the agent says farewell and hangs up. A guess: two apologies are patience,
    a third is a fault."""
    tool_rounds: int = 8
    """Rounds of tool calls in one answer: a model that only calls tools never speaks. Precedent: LiveKit 3; this allows longer chains."""
    chunk_first_chars: int = 24
    """The first chunk may end at a comma from here on, so that sound starts early. A guess: four or five words."""
    chunk_soft_chars: int = 160
    """Later chunks may end at a comma from here on. A guess: shorter ones lose the sentence's melody."""
    speech_chars_per_s: int = 15
    """Speaking rate assumed where a synthesizer gives neither word times nor a duration yet. English reads at 13 to 17."""

    # Tools.
    tool_timeout_ns: int = 20 * SECOND
    """To a tool's result, where the tool has no time of its own; then the model is told so. A guess: pipecat has no limit."""
    filler_ns: int = 1_500 * MS
    """Silence during a tool call after which the filler is said. 0: never. A guess: sooner than for a model, for tools are slow."""

    # Silence and the end.
    idle_ns: int = 12 * SECOND
    """Both quiet this long: the agent asks whether the caller is there. 0: never. Precedent: LiveKit's user_away_timeout, 15 s."""
    idle_prompts: int = 2
    """How often; then it says goodbye and hangs up. A guess."""
    call_ns_max: int = 3_600 * SECOND
    """The longest call; then goodbye. A guess: an hour is a mistake more often than a conversation."""
    line_lost_ns: int = 60 * SECOND
    """A connection that stays away this long is given up, should the transport's own grace not have ended the call. A guess."""
    dtmf_ns: int = 2 * SECOND
    """Keys pressed with pauses shorter than this are one turn; "#" ends it at once. Precedent: pipecat, 2 s and "#"."""

    # What the agent says by itself.
    filler: str = "One moment, please."
    apology: str = "I'm sorry, I had a problem there. Could you say that again?"
    farewell: str = "I'm sorry, I'm having technical trouble. Please call again later. Goodbye."
    unheard: str = "Sorry, I didn't catch that."
    idle_prompt: str = "Are you still there?"
    goodbye: str = "I'll let you go now. Goodbye."
    not_transferred: str = "I'm sorry, I couldn't put you through. Is there anything else I can do for you?"
    """After a transfer that failed; the conversation goes on."""
    voicemail: str = ""
    """Said to an answering machine, instead of a conversation; then the call ends. Empty: it is talked to like anybody."""

    language: str = "en"
    """Of the conversation, as in BCP 47. The words that end an English sentence are known; in any other language a turn's end is told by
    punctuation, numbers and silence. The lists below, and what the agent says by itself, are then yours to set."""
    backchannels: tuple[str, ...] = BACKCHANNELS
    stop_words: tuple[str, ...] = STOP_WORDS


BALANCED = Policy()
PATIENT = replace(
    BALANCED,
    endpoint_finished_ns=600 * MS,
    endpoint_unsure_ns=1_100 * MS,
    endpoint_unfinished_ns=2_600 * MS,
    interrupt_ns=1_000 * MS,
    idle_ns=20 * SECOND,
)
"""For callers who think, read out numbers or are unwell: it waits longer and yields less easily."""
EAGER = replace(
    BALANCED,
    endpoint_finished_ns=200 * MS,
    endpoint_unsure_ns=450 * MS,
    endpoint_unfinished_ns=1_200 * MS,
    interrupt_ns=500 * MS,
    speculate_stable_ns=60 * MS,
)
"""For short commands on a good line: it answers at once and sometimes too early."""

PRESETS = {"patient": PATIENT, "balanced": BALANCED, "eager": EAGER}


class OnInterrupt(StrEnum):
    """What becomes of a running tool when the caller takes the floor."""

    CANCEL = "cancel"
    """Stop it; the history says it was cancelled."""
    DETACH = "detach"
    """Let it go on; the result is told in whatever run is live then."""
    FINISH = "finish"
    """It must complete (money moves); the result is kept, and told like a detached one."""


class ToolSpec(Struct, frozen=True, gc=False):
    """A tool as the model sees it and as the rules treat it."""

    name: str
    description: str = ""
    parameters: str = '{"type":"object","properties":{}}'
    """JSON Schema of the arguments, as JSON text."""
    on_interrupt: OnInterrupt = OnInterrupt.CANCEL
    timeout_ns: int = 0
    """0: the policy's."""
    filler: str = ""
    """What to say while it runs; the policy's where empty."""
    ends_call: bool = False
    """After its result has been spoken of, the call ends (a "goodbye" tool)."""
    transfers_call: bool = False
    """After its result has been spoken of, the caller is handed over. The result's first line says where to: a telephone number or
    SIP address."""


class Setup(Struct, frozen=True, kw_only=True, gc=False):
    """What the rules are told when a session begins."""

    policy: Policy = Policy()
    instructions: str = ""
    greeting: str = ""
    """Said first. Empty: the caller speaks first."""
    greeting_interruptible: bool = True
    tools: tuple[ToolSpec, ...] = ()
    asr: tuple[str, ...] = ()
    """Recognisers by name, in order of preference. Empty: the session is typed or keyed only."""
    llm: tuple[str, ...] = ()
    """Language models by name, in order of preference."""
    tts: tuple[str, ...] = ()
    """Synthesizers by name, in order of preference."""
    transport: str = ""
