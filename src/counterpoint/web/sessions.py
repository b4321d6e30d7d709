"""Who may use the page: whoever opened the address that the terminal showed.

The address holds a token that works once; what it is exchanged for is a cookie, signed with a key that lies in the
state folder. So a page that is open goes on when the server is started again, and an address in a shell's history is
worth nothing.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

LASTS_S = 7 * 24 * 3600.0
"""How long a cookie is good."""
KEY_BYTES = 32


def read_key(path: Path) -> bytes:
    """The key in `path`, made where there is none; deleting the file ends every session."""
    with contextlib.suppress(FileExistsError), open(path, "xb", opener=_private) as file:
        file.write(secrets.token_bytes(KEY_BYTES))
    return path.read_bytes()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class Sessions:
    """One token that works once, and the cookies that tokens were exchanged for. `renewed` gets each new token."""

    def __init__(self, key: bytes, renewed: Callable[[str], None]) -> None:
        self._key = key
        self._renewed = renewed
        self._token = secrets.token_urlsafe(24)

    @property
    def token(self) -> str:
        """The token that works now."""
        return self._token

    def redeem(self, token: str) -> str | None:
        """A cookie for the token; None where it is not the one that works. Afterwards another one works."""
        if not hmac.compare_digest(token.encode(), self._token.encode()):
            return None
        self._token = secrets.token_urlsafe(24)
        self._renewed(self._token)
        said = f"{int(time.time())}.{secrets.token_urlsafe(12)}"
        return f"{said}.{self._sign(said)}"

    def holds(self, cookie: str) -> bool:
        """Whether the cookie is one of ours and not too old."""
        said, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(said).encode()):
            return False
        return time.time() - int(said.partition(".")[0]) < LASTS_S

    def _sign(self, text: str) -> str:
        return hmac.new(self._key, text.encode(), "sha256").hexdigest()
