"""Every exception the engine raises, drawn as a tree.

    EngineError
    ├── ConfigError                     the operator's: named setting, given value, what is allowed
    ├── AdapterError                    the world's: a provider failed in one of six ways
    ├── ToolError                       a tool's own words to the model: what did not work, and what to do
    ├── TransportClosed                 the caller is gone
    └── JournalError
        ├── JournalCorrupt              bytes that are no journal, with the offset
        ├── JournalTooNew               written by a later version
        └── ReplayDiverged              the rules decide otherwise now, with the step

A broken invariant is none of these: it is an `assert`, and ends the call it happened in.
"""

from enum import StrEnum


class EngineError(Exception):
    """Any error the engine means to raise."""


class ConfigError(EngineError):
    """Settings the operator must mend. `problems` names all of them, one sentence each."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class FailureKind(StrEnum):
    """The six ways a provider can fail, which is all a rule needs to know of it."""

    TIMEOUT = "timeout"
    """It did not answer in time."""
    UNAVAILABLE = "unavailable"
    """It could not be reached, or said it is down (connection refused, DNS, TLS, 5xx)."""
    RATE_LIMITED = "rate_limited"
    """It asks us to come back later (429, quota per minute)."""
    REJECTED = "rejected"
    """It will never accept this request: bad key, no credit, bad parameter (other 4xx)."""
    PROTOCOL = "protocol"
    """It said something we cannot read, or out of order."""
    CLOSED = "closed"
    """It hung up in the middle."""


class AdapterError(EngineError):
    """A provider failed. The message is for logs; nothing a caller said and no secret is ever in it."""

    def __init__(self, provider: str, kind: FailureKind, detail: str = "", *, retry_ns: int = 0) -> None:
        super().__init__(f"{provider}: {kind.value}{f' ({detail})' if detail else ''}")
        self.provider = provider
        self.kind = kind
        self.detail = detail
        self.retry_ns = retry_ns
        """How long the provider asked us to wait. 0 when it did not say."""


class ToolError(EngineError):
    """Raised by a tool. The text is given to the model as the failed result, so it may be said to the caller."""


class TransportClosed(EngineError):
    """The caller's connection is gone."""


class JournalError(EngineError):
    """A journal cannot be used as asked."""


class JournalCorrupt(JournalError):
    """Bytes that are no journal line. `offset` is where they begin."""

    def __init__(self, offset: int, detail: str) -> None:
        super().__init__(f"the journal is corrupt at byte {offset}: {detail}")
        self.offset = offset


class JournalTooNew(JournalError):
    """Written by a later engine than this one."""


class ReplayDiverged(JournalError):
    """Today's rules decide otherwise than the journal says. `seq` is the first step that differs."""

    def __init__(self, seq: int, event: str, expected: str, actual: str) -> None:
        super().__init__(f"step {seq} ({event}) diverges: the journal has {expected}, the rules give {actual}")
        self.seq = seq
