import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.server import tokens
from engine.server.tokens import Tokens

SECRET = "a secret of some length"


def test_a_token_is_good_for_its_purpose_and_subject_and_time_alone() -> None:
    now = [1_000.0]
    made = Tokens(SECRET, "session", lambda: now[0])
    token = made.mint(60, "CA1")
    assert made.check(token, "CA1")
    assert Tokens(SECRET, "session", lambda: now[0]).check(token, "CA1")
    assert not made.check(token, "CA2")
    assert not made.check(token)
    assert not Tokens(SECRET, "media", lambda: now[0]).check(token, "CA1")
    assert not Tokens(SECRET + "!", "session", lambda: now[0]).check(token, "CA1")
    now[0] = 1_060.0
    assert made.check(token, "CA1")
    now[0] = 1_060.5
    assert not made.check(token, "CA1")


def test_a_token_is_redeemed_once() -> None:
    made = Tokens(SECRET, "media")
    token = made.mint(60, "CA1")
    assert not made.redeem(token, "CA2")
    assert made.redeem(token, "CA1")
    assert not made.redeem(token, "CA1")
    assert made.redeem(made.mint(60, "CA1"), "CA1")


def test_used_tokens_are_forgotten_when_they_are_too_old_or_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "USED_MAX", 3)
    now = [0.0]
    made = Tokens(SECRET, "media", lambda: now[0])
    for _ in range(5):
        assert made.redeem(made.mint(60))
    assert len(made._used) == 3
    now[0] = 100.0
    assert made.redeem(made.mint(60))
    assert len(made._used) == 1


def test_a_token_fits_a_url_and_a_header() -> None:
    assert set(Tokens(SECRET, "session").mint(60)) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
    )


@given(st.text(max_size=60))
def test_nothing_made_up_is_a_token(text: str) -> None:
    assert not Tokens(SECRET, "session").check(text)


def test_a_secret_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(AssertionError):
        Tokens("short", "session")
