from pathlib import Path

from engine.server.shared import KEPT_SECONDS, Shared
from engine.server.tokens import Tokens


def test_a_name_is_new_once_for_all_processes(tmp_path: Path) -> None:
    one, other = Shared(tmp_path), Shared(tmp_path)
    assert one.once("token")
    assert not other.once("token")
    assert other.once("another")


def test_a_text_is_taken_once_by_any_process(tmp_path: Path) -> None:
    one, other = Shared(tmp_path), Shared(tmp_path)
    one.put("transfer CA1", "+15550001111")
    assert other.take("transfer CA1") == "+15550001111"
    assert one.take("transfer CA1") == ""
    assert one.take("transfer CA2") == ""


def test_a_name_may_be_anything(tmp_path: Path) -> None:
    shared = Shared(tmp_path)
    assert shared.once("../../etc/passwd\0\ud800")
    assert [path.parent for path in tmp_path.iterdir()] == [tmp_path]


def test_old_notes_are_swept(tmp_path: Path) -> None:
    made = Shared(tmp_path)
    made.once("token")
    written = next(tmp_path.iterdir()).stat().st_mtime
    now = written
    shared = Shared(tmp_path, clock=lambda: now)
    now = written + KEPT_SECONDS + 1
    shared.put("another", "text")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_token_is_redeemed_once_whichever_process_is_asked(tmp_path: Path) -> None:
    one, other = (Tokens("0123456789abcdef", "media", once=Shared(tmp_path).once) for _ in range(2))
    token = one.mint(60, "CA1")
    assert not other.redeem(token, "CA2")
    assert other.redeem(token, "CA1")
    assert not one.redeem(token, "CA1")


def test_a_call_is_held_by_the_worker_that_said_so_last_while_that_lives(tmp_path: Path) -> None:
    one, other = Shared(tmp_path, "a"), Shared(tmp_path, "b")
    for each in (one, other):
        each.socket_of(each.worker).touch()
    one.hold("call 1")
    assert other.holder("call 1") == "a"
    other.hold("call 1")
    one.leave("call 1")
    assert one.holder("call 1") == "b"
    other.socket_of("b").unlink()  # it has crashed
    assert one.holder("call 1") == ""
    other.leave("call 1")
    assert one.holder("call 2") == ""


def test_notes_of_calls_are_swept_with_the_worker_that_had_them(tmp_path: Path) -> None:
    now = 0.0
    shared = Shared(tmp_path, "a", lambda: now)
    shared.socket_of("a").touch()
    shared.hold("call 1")
    now = 1e10
    shared.hold("call 2")
    assert shared.holder("call 1") == "a"
    shared.socket_of("a").unlink()
    now = 2e10
    shared.once("token")
    assert [path.name[:4] for path in tmp_path.iterdir()] == ["once"]
