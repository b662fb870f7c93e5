import pytest

from engine.server import gate
from engine.server.gate import Door, Gate, Scope, address_of, is_local
from engine.server.tokens import Tokens

TOKENS = Tokens("a secret of some length", "session", clock=lambda: 1_000_000.0)


def scope(client: str = "127.0.0.1", host: str = "localhost:8080", token: str = "", **headers: str) -> Scope:
    given = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {
        "type": "websocket",
        "client": (client, 5),
        "headers": [(b"host", host.encode()), *given],
        "subprotocols": ["engine.v1", *([f"engine.token.{token}"] if token else [])],
    }


@pytest.mark.parametrize(
    ("given", "local"),
    [
        (scope(), True),
        (scope("::1", "[::1]:8080"), True),
        (scope(host="127.0.0.1"), True),
        (scope(host="app.localhost"), True),
        (scope("10.0.0.5"), False),
        (scope(host="voice.example.com"), False),  # a name that an attacker made point here
        (scope(host=""), False),
        (scope(host="localhost.example.com"), False),
        (scope(host="LOCALHOST:8080"), True),
        (scope(host="[::1]evil.example"), False),
        (scope(host="evil.example@localhost"), False),
        (scope(host="localhost:evil.example"), False),
        (scope(host="localhost#evil.example"), False),
        (scope(x_forwarded_for="203.0.113.9"), False),
        (scope(x_forwarded_proto="https"), False),
        (scope(forwarded="for=1.2.3.4"), False),
        ({**scope(), "client": None}, False),
    ],
)
def test_this_machine_is_believed_only_when_everything_says_so(given: Scope, local: bool) -> None:
    assert is_local(given) is local


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        (scope(), ""),
        (scope(origin="http://localhost:8080"), ""),
        (scope(origin="https://evil.example"), "origin"),
        (scope(origin="http://localhost:3000"), "origin"),
        (scope(origin="null"), "origin"),
        (scope(origin="http://[bad"), "origin"),
        (scope("203.0.113.9", "voice.example.com"), "token"),
        (scope("203.0.113.9", "voice.example.com", token="made.up.token"), "token"),
        (scope("203.0.113.9", "voice.example.com", token=TOKENS.mint(-5)), "token"),
        (scope("203.0.113.9", "voice.example.com", token=TOKENS.mint(60)), ""),
        (scope("203.0.113.9", "voice.example.com", token=TOKENS.mint(60), origin="https://voice.example.com"), ""),
        (scope("203.0.113.9", "voice.example.com", token=TOKENS.mint(60), origin="https://www.example.com"), ""),
        (scope("203.0.113.9", "10.1.1.1:80", token=TOKENS.mint(60), origin="https://public.example"), ""),
        (scope("203.0.113.9", "voice.example.com", token=TOKENS.mint(60), origin="https://evil.example"), "origin"),
        (
            scope("203.0.113.9", "voice.example.com", token=TOKENS.mint(60), origin="https://www.example.com.evil"),
            "origin",
        ),
        (scope("127.0.0.1", "evil.example:8080", origin="http://evil.example:8080"), "token"),  # DNS rebinding
    ],
)
def test_a_session_needs_this_machine_or_a_token_and_a_known_page(given: Scope, refused: str) -> None:
    refusal = Gate(TOKENS, ("https://www.example.com",), "https://public.example").refusal(given)
    assert refused in refusal
    assert bool(refused) == bool(refusal)


def test_one_address_has_its_share_and_no_more() -> None:
    door = Door(total_max=3, address_max=2, minute_max=99)
    with door.enter(scope("1.1.1.1")) as first, door.enter(scope("1.1.1.1")) as second:
        assert (first, second) == ("", "")
        with door.enter(scope("1.1.1.1")) as third, door.enter(scope("2.2.2.2")) as other:
            assert "this address at once" in third
            assert other == ""
            with door.enter(scope("3.3.3.3")) as full:
                assert full == "too many connections"
    assert door.total == 0
    with door.enter(scope("1.1.1.1")) as again:
        assert again == ""


def test_connections_are_counted_by_the_minute() -> None:
    now = [0.0]
    door = Door(total_max=9, address_max=9, minute_max=2, clock=lambda: now[0])
    given = []
    for second in (0, 1, 59, 60):
        now[0] = second
        with door.enter(scope("1.1.1.1")) as refusal:
            given.append(bool(refusal))
    assert given == [False, False, True, False]


def test_a_crowd_of_addresses_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "ADDRESSES_MAX", 5)
    door = Door(total_max=99, address_max=9, minute_max=9)
    refusals = []
    for n in range(8):
        with door.enter(scope(f"1.1.1.{n}")) as refusal:
            refusals.append(bool(refusal))
    assert refusals == [False] * 5 + [True] * 3
    with door.enter(scope("1.1.1.1")) as known:
        assert known == ""


def test_an_ipv6_customer_is_one_address() -> None:
    assert address_of(scope("2001:db8:1:2:3::4")) == address_of(scope("2001:db8:1:2:9::9")) == "2001:db8:1:2::/64"
    assert address_of(scope("::ffff:1.2.3.4")) == "::ffff:1.2.3.4"
    assert address_of({"client": None}) == "unknown"
