"""What one call tells the breakers, read off its steps."""

import asyncio

from msgspec.structs import replace

from engine.core.events import Fact, Outages, OutagesChanged, SessionEnded, Stage
from engine.core.policy import Policy, Setup
from engine.core.reduce import begin
from engine.core.units import MS, SECOND
from engine.errors import FailureKind
from engine.runtime.watch import Watch
from tests.fakes import virtually
from tests.script import check

SETUP = Setup(
    asr=("ear", "spare ear"),
    llm=("model", "spare"),
    tts=("voice", "spare voice"),
    policy=Policy(llm_hedge_ns=2 * SECOND, idle_ns=0),
)
SINGLE = Setup(asr=("ear",), llm=("model",), tts=("voice",), policy=Policy(idle_ns=0, llm_filler_ns=0))


class Ledger:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.left = 0

    def failed(self, stage: Stage, name: str, kind: FailureKind, watch: Watch) -> None:
        self.told.append(f"{stage.value} {name} {kind.value}")

    def answered(self, stage: Stage, name: str, asked_ago_ns: int) -> None:
        self.told.append(f"{stage.value} {name} answered, asked {asked_ago_ns // MS} ms ago")

    def leave(self, watch: Watch) -> None:
        self.left += 1


def seen(script: str, setup: Setup = SETUP) -> list[str]:
    ledger = Ledger()
    check(script, setup, observer=Watch(ledger, setup))
    return ledger.told


def test_an_answer_counts_from_when_it_was_asked_for() -> None:
    told = seen(
        """
        0     asr open                                 [Idle]
        100   caller speaks                            [Listening]
        700   asr final "hello there"                  [Transcribing]
        800   asr final "my friend"                    [Transcribing]
        900   typed "well"                            -> open r1, llm r1 "hello there my friend well"  [Generating]
        1000  llm r1 "Hi."
        1010  llm r1 done                             -> tts r1 "Hi."
        1200  tts r1 c1 done 500
        """
    )
    assert told == [
        "asr ear answered, asked 700 ms ago",
        "llm model answered, asked 110 ms ago",
        "tts voice answered, asked 190 ms ago",
    ]


def test_each_failure_counts_once() -> None:
    told = seen(
        """
        0     asr failed closed                       -> stop asr  [Idle]
        100   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        110   llm r1 failed unavailable
        112   llm r1 failed unavailable
        200   timer                                   -> asr e2
        295   timer                                   -> llm r1 "hello"
        300   llm r1 "Hi."
        310   llm r1 done                             -> tts r1 "Hi."
        400   tts r1 c1 failed closed                 -> cancel tts r1, tts r1 "Hi."
        """
    )
    assert told == [
        "asr ear closed",
        "llm model unavailable",
        "llm model answered, asked 15 ms ago",
        "tts voice closed",
    ]


def test_a_line_that_does_not_open_counts_although_no_run_waits_for_it() -> None:
    assert seen("100   tts r0 failed unavailable chunk=0  [Idle]") == ["tts voice unavailable"]


def test_one_that_says_nothing_and_is_given_up_has_failed() -> None:
    told = seen(
        """
        100   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        5000  timer                                   -> stop asr
        5100  timer                                   -> cancel llm r1
        5200  timer                                   -> asr e2
        5285  timer                                   -> llm r1 "hello"
        """,
        SINGLE,
    )
    assert told == ["asr ear timeout", "llm model timeout"]


def test_a_model_that_was_outrun_after_long_has_failed() -> None:
    told = seen(
        """
        0     asr open                                 [Idle]
        100   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        2100  timer                                   -> llm r1 "hello" by=spare
        2400  llm r1 q2 "Hi."                         -> cancel llm r1 q1
        """
    )
    assert told == ["llm model timeout"]


def test_a_model_that_was_outrun_soon_has_not_failed() -> None:
    eager = replace(SETUP, policy=replace(SETUP.policy, llm_hedge_ns=300 * MS))
    told = seen(
        """
        0     asr open                                 [Idle]
        100   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        400   timer                                   -> llm r1 "hello" by=spare
        900   llm r1 q2 "Hi."                         -> cancel llm r1 q1
        """,
        eager,
    )
    assert told == []


def test_a_hedge_that_was_not_needed_has_not_failed() -> None:
    told = seen(
        """
        0     asr open                                 [Idle]
        100   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        2100  timer                                   -> llm r1 "hello" by=spare
        2500  llm r1 q1 "Hi."                         -> cancel llm r1 q2
        """
    )
    assert told == []


def test_what_is_refused_again_and_again_in_one_call_counts_once() -> None:
    told = seen(
        """
        0     asr open                                 [Idle]
        100   typed "hello"                           -> open r1, llm r1 "hello"  [Generating]
        200   llm r1 failed rejected                  -> llm r1 "hello" by=spare
        300   llm r1 "Hi."
        310   llm r1 done                             -> tts r1 "Hi."
        400   tts r1 c1 done 100
        500   playing r1                               [Speaking]
        600   played r1 100                            [Idle]
        31000 typed "again"                           -> open r2, llm r2 "again"  [Generating]
        31100 llm r2 failed rejected                  -> llm r2 "again" by=spare
        """
    )
    assert [each for each in told if "rejected" in each] == ["llm model rejected"]


@virtually
async def test_news_are_told_in_a_turn_of_their_own_and_only_news() -> None:
    watch, posted = Watch(Ledger(), SETUP), list[Fact]()
    watch.post = posted.append
    watch.tell(Outages())
    watch.tell(Outages(llm=("model",)))
    assert posted == []
    await asyncio.sleep(0.1)
    watch.tell(Outages(llm=("model",)))
    await asyncio.sleep(0.1)
    assert posted == [OutagesChanged(outages=Outages(llm=("model",)))]


@virtually
async def test_a_call_that_is_over_is_told_nothing_more() -> None:
    ledger = Ledger()
    watch, posted = Watch(ledger, SETUP), list[Fact]()
    watch.post = posted.append
    watch.tell(Outages(llm=("model",)))
    watch(SessionEnded(reason="hang-up"), begin(), begin(), ())
    await asyncio.sleep(0.1)
    watch.close()
    assert posted == []
    assert ledger.left == 1
