"""Every act the reducer may ask for. A command is data; `runtime/effects` has the function that does it."""

from enum import StrEnum

from msgspec import Struct


class Role(StrEnum):
    """Who speaks in the history."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class CallMade(Struct, frozen=True, gc=False):
    """A tool call as the history shows it."""

    call_id: str
    name: str
    arguments: str


class Message(Struct, frozen=True, gc=False, omit_defaults=True):
    """One entry of the conversation, as language models are given it."""

    role: Role
    text: str = ""
    calls: tuple[CallMade, ...] = ()
    """For the assistant: tools it called after the text."""
    call_id: str = ""
    """For a tool: the call this answers."""
    run: int = 0
    """The run this came from. 0: none."""
    interrupted: bool = False
    """For the assistant: the caller heard no more than this."""
    backchannel: bool = False
    """For the user: said while listening; it asks for no answer."""


class Command(Struct, frozen=True, gc=False, kw_only=True, tag=True):
    """An order to the runtime."""


class StartASR(Command, frozen=True, gc=False, kw_only=True):
    """Open a recognition stream and give it the caller's sound, first what the last one never finished."""

    ear: int
    provider: str


class FinalizeASR(Command, frozen=True, gc=False, kw_only=True):
    """The caller is quiet: finish the words you have."""

    ear: int


class StopASR(Command, frozen=True, gc=False, kw_only=True):
    ear: int


class StartLLM(Command, frozen=True, gc=False, kw_only=True):
    """Ask a language model. The tools are the setup's."""

    run: int
    request: int
    provider: str
    messages: tuple[Message, ...]


class CancelLLM(Command, frozen=True, gc=False, kw_only=True):
    run: int
    request: int


class Synthesize(Command, frozen=True, gc=False, kw_only=True):
    """Make sound of a piece of text. Chunks of a run are spoken, and fail, in the order they are asked for."""

    run: int
    chunk: int
    provider: str
    text: str
    first_ns: int = 0
    """To its first sound, counted from the end of the chunk before; longer is a TIMEOUT, with the sound that is in hand."""
    whole_ns: int = 0
    """The same to its last sound."""


class CancelTTS(Command, frozen=True, gc=False, kw_only=True):
    """Stop every synthesis of this run; sound already in hand stays."""

    run: int


class OpenPlayout(Command, frozen=True, gc=False, kw_only=True):
    """Let the caller hear this run. Until then its sound is only gathered."""

    run: int


class PausePlayout(Command, frozen=True, gc=False, kw_only=True):
    """Fall silent now; keep what was not heard. Answered by PlayoutPaused."""

    run: int


class ResumePlayout(Command, frozen=True, gc=False, kw_only=True):
    """Go on from the sample last heard."""

    run: int


class ClearPlayout(Command, frozen=True, gc=False, kw_only=True):
    """Fall silent now and throw the rest away. Answered by PlayoutCleared. Nothing of this run may leave again."""

    run: int


class ClosePlayout(Command, frozen=True, gc=False, kw_only=True):
    """This run has been heard: forget its sound. What the peer still plays of it, it may; nothing more of it may leave."""

    run: int


class RunTool(Command, frozen=True, gc=False, kw_only=True):
    """Call a tool. Answered by exactly one ToolResult or AdapterFailed."""

    run: int
    call: int
    name: str
    arguments: str
    timeout_ns: int


class CancelTool(Command, frozen=True, gc=False, kw_only=True):
    call: int


class SetTimer(Command, frozen=True, gc=False, kw_only=True):
    """The next moments at which anything must happen. Replaces the last SetTimer."""

    wall_ns: int | None
    """On the session's clock."""
    audio_ns: int | None
    """In the caller's sound."""


class Transfer(Command, frozen=True, gc=False, kw_only=True):
    target: str


class EndSession(Command, frozen=True, gc=False, kw_only=True):
    """Hang up. Answered by SessionEnded."""

    reason: str


Order = (
    StartASR | FinalizeASR | StopASR | StartLLM | CancelLLM | Synthesize | CancelTTS
    | OpenPlayout | PausePlayout | ResumePlayout | ClearPlayout | ClosePlayout | RunTool | CancelTool | SetTimer | Transfer | EndSession
)  # fmt: skip
"""The whole vocabulary of commands. `runtime/effects` has a row for each."""

Commands = tuple[Order, ...]
NOTHING: Commands = ()
