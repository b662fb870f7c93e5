import pytest

from engine.errors import ConfigError
from engine.load.doors import checked


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "ws://localhost/media", "http://[::1]:9/twilio/voice"])
def test_this_machine_may_be_called(url: str) -> None:
    assert checked(url, owned=False) == url


def test_another_machine_may_be_called_by_whoever_owns_it() -> None:
    with pytest.raises(ConfigError, match="another machine"):
        checked("https://voice.example.com", owned=False)
    assert checked("https://voice.example.com", owned=True)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://127.0.0.1", "http://"])
def test_what_is_no_address_is_said_so(url: str) -> None:
    with pytest.raises(ConfigError, match="must be an http or ws address"):
        checked(url, owned=True)
