"""Calls to GitHub: limited in number, retried once, and each failure as one GitHubError."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from threading import BoundedSemaphore, Lock

import requests

from ..config import Settings
from ..errors import GitHubResponseUnusable, GitHubTimeout, GitHubUnreachable
from .repository import UnusableResponse
from .responses import (
    UNREADABLE_CERTIFICATES,
    UNSUPPORTED_PROXY,
    check_usable,
    rate_limit,
    rate_limited,
)
from .session import GitHubSession, ResponseTooLarge, UnusableRedirect
from .storage import Check

CONCURRENCY_MAX = 100  # calls at a time that GitHub allows an address
RETRY_DELAY = 0.2  # seconds before the one retry of a failure that may be transient


class GitHubCalls:
    """The calls of one process.

    It opens its session at the first use, so that it can be created before a process forks.
    """

    def __init__(self, settings: Settings, check: Check) -> None:
        self._settings = settings
        self._check = check
        self._rate_limit_name = f"rate limit of {settings.github_api_base}"
        self._timeout = settings.github_timeout
        self._has_token = settings.github_token is not None
        self._semaphore = BoundedSemaphore(max(CONCURRENCY_MAX // settings.web_concurrency, 1))
        self._lock = Lock()
        self._opened: GitHubSession | None = None

    @property
    def session(self) -> GitHubSession:
        """The session, opened if necessary."""
        with self._lock:
            if self._opened is None:
                self._opened = GitHubSession(self._settings, self._check)
            return self._opened

    @contextmanager
    def slot(self, deadline: float) -> Iterator[None]:
        """Limit concurrent calls to GitHub."""
        if not self._semaphore.acquire(timeout=deadline - time.monotonic()):
            raise self.timed_out()
        try:
            yield
        finally:
            self._semaphore.release()

    def request(self, url: str, deadline: float, force_refresh: bool = True) -> requests.Response:
        """Return metadata, a redirect or a refusal; raise anything else as a GitHubError."""
        self._check_rate_limit()
        try:
            response = self._request_with_retry(url, deadline, force_refresh)
        except (requests.RequestException, ValueError) as error:
            if isinstance(error, requests.Timeout) or time.monotonic() >= deadline:
                raise self.timed_out() from error
            cut = isinstance(error, requests.exceptions.ChunkedEncodingError)
            if cut or isinstance(error, requests.ConnectionError):
                raise GitHubUnreachable("GitHub can't be reached.") from error
            if isinstance(error, UnusableRedirect):
                raise GitHubResponseUnusable(str(error)) from error
            if isinstance(error, requests.exceptions.InvalidSchema):
                raise GitHubUnreachable(UNSUPPORTED_PROXY) from error
            known = isinstance(error, UnusableResponse | ResponseTooLarge)
            reason = str(error) if known else "it breaks the rules of HTTP"
            raise GitHubResponseUnusable(f"GitHub sent an unusable response: {reason}.") from error
        except OSError as error:  # requests' own, before it connects
            raise GitHubUnreachable(UNREADABLE_CERTIFICATES) from error
        if wait := rate_limit(response):
            until = datetime.now(timezone.utc) + wait
            self.session.cache.save_response(response, self._rate_limit_key, until)
            raise rate_limited(until, has_token=self._has_token)
        check_usable(response)
        return response

    def _request_with_retry(
        self, url: str, deadline: float, force_refresh: bool
    ) -> requests.Response:
        retry_until = deadline - RETRY_DELAY
        try:
            response = self.session.fetch(url, deadline, force_refresh=force_refresh)
            transient = response.status_code >= 500 and "Retry-After" not in response.headers
            if not transient or time.monotonic() >= retry_until:
                return response
        except requests.ConnectionError:
            if time.monotonic() >= retry_until:
                raise
        time.sleep(RETRY_DELAY)
        return self.session.fetch(url, deadline, force_refresh=force_refresh)

    def _check_rate_limit(self) -> None:
        """Raise GitHubRateLimited while GitHub limits us, whichever process was told so."""
        limit = self.session.cache.get_response(self._rate_limit_key)
        if limit is not None and limit.expires is not None and not limit.is_expired:
            raise rate_limited(limit.expires, has_token=self._has_token)

    @property
    def _rate_limit_key(self) -> str:
        return self.session.cache_key(self._rate_limit_name)

    def timed_out(self) -> GitHubTimeout:
        """Return the error of a call that took too long."""
        return GitHubTimeout(f"GitHub did not respond within {self._timeout:g} seconds.")
