"""The HTTP session to GitHub: cached, bounded in time and size, and discreet with the token."""

import http.client
import io
import socket
import time
from collections.abc import Callable
from datetime import datetime, timezone
from http.cookiejar import DefaultCookiePolicy
from typing import Any, NoReturn
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests_cache import CachedSession
from urllib3.connection import HTTPConnection, HTTPSConnection

from tracker.config import Settings
from tracker.github.cache import open_cache

BODY_MAX = 1024 * 1024  # bytes, decompressed; a repository's metadata take some 20,000
REDIRECTS = (301, 302, 307, 308)
RECEIVED_AT = "X-Received-At"  # our own header on each answer: when it left the network

USER_AGENT = "github-task-tracker"
HEADERS = {
    "Accept": "application/vnd.github+json",
    "User-Agent": USER_AGENT,
    "X-GitHub-Api-Version": "2022-11-28",
}

Check = Callable[[requests.Response], object]


class AnswerTooLarge(requests.RequestException):
    """The answer's body is larger than BODY_MAX."""


class UnusableRedirect(requests.RequestException):
    """The answer redirects to another host, to itself, or nowhere; the message is for the user."""


def open_session(settings: Settings, check: Check) -> CachedSession:
    """Open the cached session to GITHUB_API_BASE's host; no other host can be asked with it.

    `check` looks at each answer with status 200 from the network, and raises a
    `requests.RequestException` for what may not enter the cache.
    """
    session = _Session(
        backend=open_cache(settings.github_cache),
        expire_after=settings.github_cache_ttl,
        allowable_codes=(200, 301),
        key_fn=lambda request, **_: cache_key(request.url),
    )
    base = urlsplit(settings.github_api_base)
    session.adapters.clear()
    session.mount(f"{base.scheme}://{base.netloc}/", _Adapter(settings.github_token, check))
    session.headers.update(HEADERS)
    # Any `auth` keeps requests from sending what a .netrc file has for the host.
    session.auth = lambda request: request
    # GitHub's answers vary by cookie: one that is kept would make every cached answer a miss.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session


def cache_key(url: str) -> str:
    """Name an answer in the cache; to GitHub the case of a repository's name does not matter."""
    return url.lower().replace("'", "%27")  # requests-cache puts it into SQL between quotes


def received_at(response: requests.Response) -> datetime:
    """Tell when the answer came from GitHub; for a cached one, when it was last confirmed."""
    return datetime.fromisoformat(response.headers[RECEIVED_AT])


class _Session(CachedSession):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Prepare no next request: it may get a .netrc entry, and would be cached with this one."""
        return None

    def _handle_error(self, *args: Any) -> NoReturn:
        """Raise what made a revalidation fail: the client alone decides when a copy serves."""
        raise


class _Adapter(HTTPAdapter):
    """Sends the token on a copy of the request, so that no cache or redirect ever sees it."""

    def __init__(self, token: str | None, check: Check) -> None:
        self._token = token
        self._check = check
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        sent = request.copy()
        if self._token:
            sent.headers["Authorization"] = f"Bearer {self._token}"
        response = super().send(sent, *args, **{**kwargs, "stream": True})
        response.request = request
        response.headers[RECEIVED_AT] = datetime.now(timezone.utc).isoformat()
        _read_body(response)
        if response.status_code == 200:
            self._check(response)
        elif response.status_code in REDIRECTS:
            _check_redirect(response)
        return response


def _check_redirect(response: requests.Response) -> None:
    try:
        target = urljoin(response.url, response.headers.get("Location", ""))
        here, there = urlsplit(response.url), urlsplit(target)
    except ValueError as error:
        raise UnusableRedirect("GitHub gave an unusable redirect.") from error
    if (there.scheme, there.netloc) != (here.scheme, here.netloc):
        raise UnusableRedirect("GitHub redirects to another host, which is not followed.")
    if cache_key(target) == cache_key(response.url):
        raise UnusableRedirect("GitHub redirects in circles.")


def _read_body(response: requests.Response) -> None:
    body = b""
    with response:
        for chunk in response.iter_content(64 * 1024):
            body += chunk
            if len(body) > BODY_MAX:
                raise AnswerTooLarge(f"the answer is larger than {BODY_MAX} bytes")
    response._content = body


class _DeadlineReader(io.RawIOBase):
    """Reads a socket until a deadline: requests' own timeout bounds just each single read."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        self._deadline = time.monotonic() + (sock.gettimeout() or 0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("timed out")
        self._sock.settimeout(remaining)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """A response whose read timeout bounds the whole of it."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_DeadlineReader(self.fp.detach(), sock))


class _HTTPConnection(HTTPConnection):
    response_class = _Response


class _HTTPSConnection(HTTPSConnection):
    response_class = _Response


class _HTTPConnectionPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSConnectionPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


_POOLS = {"http": _HTTPConnectionPool, "https": _HTTPSConnectionPool}
