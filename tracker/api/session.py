"""Sessions of the page: a cookie that stands for one of the tokens in API_TOKEN."""

import hashlib
import hmac
import mmap
import secrets
import struct
import time
from collections.abc import Sequence
from functools import lru_cache

from flask import request
from werkzeug import Response

from .refusals import CrossSiteRequest

LIFETIME = 30 * 24 * 60 * 60  # seconds
ROUNDS = 50_000  # of PBKDF2, some 30 ms: a stolen cookie must not reveal a weak token
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
WRONG_TOKENS_MAX = 10  # in WINDOW
WINDOW = 60.0  # seconds


def start(response: Response, token: str) -> None:
    """Set the cookie of a new session for this token.

    The cookie never has the token: a browser sends it to the other ports of this host, too.
    """
    claim = f"{int(time.time()) + LIFETIME}.{secrets.token_hex(8)}"
    value = f"{claim}.{_signature(claim, token)}"
    response.set_cookie(
        _name(), value, LIFETIME, secure=request.is_secure, httponly=True, samesite="Strict"
    )


def end(response: Response) -> None:
    """Delete the cookie."""
    response.delete_cookie(_name(), secure=request.is_secure, httponly=True, samesite="Strict")


def is_valid(tokens: Sequence[str]) -> bool:
    """Return whether the request has a cookie for one of the tokens."""
    claim, _, given = request.cookies.get(_name(), "").rpartition(".")
    expires = claim.partition(".")[0]
    if not (expires.isascii() and expires.isdecimal() and len(expires) <= 12):
        return False
    if int(expires) < time.time() or not given.isascii():
        return False
    matches = [hmac.compare_digest(given, _signature(claim, token)) for token in tokens]
    return any(matches)


def check_same_origin() -> None:
    """Refuse a write by cookie unless the browser says that a page of this service sent it."""
    if request.method in SAFE_METHODS:
        return
    site = request.headers.get("Sec-Fetch-Site")
    # An Origin that is there has been compared with ours already.
    if site != "same-origin" and (site is not None or "Origin" not in request.headers):
        raise CrossSiteRequest("Requests with a cookie must come from this service's own page.")


def port() -> str:
    """Return the port of the request's host, or the scheme that stands for it."""
    return request.host.rpartition("]")[2].partition(":")[2] or request.scheme


def _name() -> str:
    """Return the cookie's name, with the port: cookies are shared by all ports of a host."""
    return f"{'__Host-' if request.is_secure else ''}tracker-{port()}"


def _signature(claim: str, token: str) -> str:
    return hmac.new(_key(token), claim.encode(), hashlib.sha256).hexdigest()


@lru_cache(maxsize=100)
def _key(token: str) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", token.encode(), b"session of the page", ROUNDS)


class AttemptLimit:
    """Limit of the failures in a period, shared by the processes that are forked later."""

    def __init__(self, number: int, seconds: float) -> None:
        self._seconds = seconds
        self._format = struct.Struct(f"{number}d")
        self._memory = mmap.mmap(-1, self._format.size)
        self.clear()

    def clear(self) -> None:
        """Forget all failures."""
        count = self._format.size // 8
        self._format.pack_into(self._memory, 0, *[-self._seconds] * count)

    def wait(self) -> float:
        """Return the seconds until another attempt is allowed; 0 or less if it is now."""
        oldest: float = min(self._format.unpack_from(self._memory))
        return oldest + self._seconds - time.monotonic()

    def failed(self) -> None:
        """Count a failure."""
        times = sorted(self._format.unpack_from(self._memory))
        self._format.pack_into(self._memory, 0, *times[1:], time.monotonic())


# The master imports this module before it forks: all workers count together.
wrong_tokens = AttemptLimit(WRONG_TOKENS_MAX, WINDOW)
