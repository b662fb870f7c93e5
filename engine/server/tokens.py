"""Short-lived permissions, signed so that any process of the service can check them, and forgotten by themselves.

A token names what it is for (the purpose) and whom (the subject); it is worthless for anything else.
"""

import hashlib
import hmac
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable

MAC_BYTES = 18
"""144 bits; written in 24 characters."""
USED_MAX = 100_000
"""Single-use tokens remembered. They live a minute, so more would be 1,600 calls a second; the oldest are forgotten first."""


class Tokens:
    """Makes and checks the tokens of one purpose. Characters: letters, digits, "-", "_" and "." (fit for a URL and a header)."""

    def __init__(
        self,
        secret: str,
        purpose: str,
        clock: Callable[[], float] = time.time,
        once: Callable[[str], bool] | None = None,
    ) -> None:
        """secret: at least 16 characters; it is never used itself, but a key made of it for this purpose.

        once: whether nobody has said this before, where several processes must agree on it.
        """
        assert len(secret) >= 16, "a secret that can be guessed"
        self._key = hmac.digest(secret.encode(), b"engine:" + purpose.encode(), hashlib.sha256)
        self._clock = clock
        self._once = once
        self._used: dict[str, int] = {}

    def mint(self, seconds: int, subject: str = "") -> str:
        """A new token, good for so long."""
        body = f"{int(self._clock()) + seconds:x}.{secrets.token_urlsafe(9)}"
        return f"{body}.{self._mac(body, subject)}"

    def check(self, token: str, subject: str = "") -> bool:
        """Whether it is ours, for this subject, and not too old."""
        body, _, mac = token.rpartition(".")
        if not hmac.compare_digest(mac.encode(errors="replace"), self._mac(body, subject).encode()):
            return False
        return int(body.partition(".")[0], 16) >= self._clock()

    def redeem(self, token: str, subject: str = "") -> bool:
        """`check`, once: the second time it is refused."""
        if not self.check(token, subject) or token in self._used:
            return False
        if self._once is not None:
            return self._once(token)
        now = int(self._clock())
        while self._used and (len(self._used) >= USED_MAX or next(iter(self._used.values())) < now):
            del self._used[next(iter(self._used))]
        self._used[token] = int(token.partition(".")[0], 16)
        return True

    def _mac(self, body: str, subject: str) -> str:
        text = f"{len(subject)}:{subject}{body}".encode(errors="replace")
        return urlsafe_b64encode(hmac.digest(self._key, text, hashlib.sha256)[:MAC_BYTES]).decode()
