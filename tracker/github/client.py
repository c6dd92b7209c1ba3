"""GitHub's REST API: a repository's name in, its metadata or one GitHubError out."""

import email.utils
import logging
import math
import re
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import datetime, timedelta, timezone
from threading import Lock
from urllib.parse import urljoin

import requests
import urllib3
from requests_cache import CachedSession
from requests_cache.models import AnyResponse
from requests_cache.models.response import CachedResponse

from tracker.config import Settings
from tracker.errors import (
    GitHubError,
    GitHubFailed,
    GitHubRateLimited,
    GitHubTimeout,
    RepositoryUnavailable,
    TokenRejected,
    describe,
)
from tracker.github.repository import Repository, read_answer
from tracker.github.session import REDIRECTS, UnusableRedirect, cache_key, open_session, received_at
from tracker.waiting import WaitingRoom

logger = logging.getLogger(__name__)

REDIRECTS_MAX = 3
REFUSALS = (401, 403, 404, 410, 451)
STALE_MAX = timedelta(days=7)
RETRY_DELAY = 0.2  # seconds before the one repetition after a failure that may pass
SECONDARY_LIMIT = 60  # seconds to wait where GitHub does not say for how long
LIMIT_MAX = 24 * 60 * 60  # seconds to believe GitHub's word


class GitHubClient:
    """Asks GitHub for repositories, at most once at a time for each.

    `open_session` is called once, at the first use, so that a client can be made before a
    process forks. `timeout` is in seconds and bounds all attempts of one call together;
    `waiting` is how many requests may wait for GitHub at once.
    """

    def __init__(
        self,
        open_session: Callable[[], CachedSession],
        *,
        base_url: str,
        timeout: float,
        waiting: int,
    ) -> None:
        self._open_session = open_session
        self._base_url = base_url
        self.timeout = timeout
        self.room = WaitingRoom(waiting)
        self._lock = Lock()
        self._opened: CachedSession | None = None
        self._flights: dict[tuple[str, bool], Future[Repository]] = {}

    @classmethod
    def from_settings(cls, settings: Settings) -> "GitHubClient":
        """Make the client that the settings describe. No I/O."""
        return cls(
            lambda: open_session(settings, check=read_answer),
            base_url=settings.github_api_base,
            timeout=settings.github_timeout,
            waiting=settings.waiting,
        )

    @property
    def _session(self) -> CachedSession:
        with self._lock:
            if self._opened is None:
                self._opened = self._open_session()
            return self._opened

    def repository(self, name: str) -> Repository:
        """Give the metadata of the repository `owner/name`, from the cache while it is fresh.

        While GitHub fails or limits us, an expired copy serves for up to seven days.

        Raises:
            RepositoryUnavailable: it does not exist, is not visible to our token, or is blocked.
            GitHubRateLimited: the limit is used up, and there is no copy.
            GitHubTimeout: GitHub did not answer in time, and there is no copy.
            GitHubBusy: too many wait for GitHub, and there is no copy.
            GitHubFailed: GitHub is down or answers nonsense, and there is no copy; or it
                rejected our token.
        """
        url = f"{self._base_url}/repos/{name}"
        if found := self._copy(url, _is_fresh):
            return found
        try:
            return self._share(url, name, refresh=False)
        except (RepositoryUnavailable, TokenRejected):
            raise
        except GitHubError as error:
            if copy := self._copy(url, _may_serve):
                logger.warning("an expired copy serves %s: %s", url, describe(error))
                return copy
            raise

    def refresh(self, name: str, repository_id: int | None) -> Repository:
        """Have GitHub confirm or correct the metadata now; no copy serves in its place.

        With its id it is found under whatever name it has by now.

        Raises:
            GitHubError: as for `repository`, where there is no copy.
        """
        try:
            found = self._share(f"{self._base_url}/repos/{name}", name, refresh=True)
            if repository_id in (None, found.id):
                return found
        except RepositoryUnavailable:
            if repository_id is None:
                raise
        # The name is free, or another repository's by now.
        return self._share(f"{self._base_url}/repositories/{repository_id}", name, refresh=True)

    def _copy(self, url: str, serves: Callable[[CachedResponse], bool]) -> Repository | None:
        """Read the metadata in the cache, through redirects, if each answer on the way serves."""
        for _ in range(REDIRECTS_MAX + 1):
            copy = self._session.cache.get_response(cache_key(url))
            if copy is None or not serves(copy):
                return None
            if copy.status_code == 200:
                return read_answer(copy)
            url = urljoin(url, copy.headers["Location"])
        return None

    def _share(self, url: str, name: str, *, refresh: bool) -> Repository:
        """Let requests for one thing at the same time wait for one answer."""
        key = (cache_key(url), refresh)
        with self.room.place():
            with self._lock:
                flight = self._flights.get(key)
                leads = flight is None
                if flight is None:
                    flight = self._flights[key] = Future()
            if leads:
                try:
                    flight.set_result(self._fetch(url, name, refresh))
                except BaseException as error:
                    flight.set_exception(error)
                finally:
                    with self._lock:
                        del self._flights[key]
            try:
                return flight.result(self.timeout + 1)
            except FutureTimeoutError as error:
                raise self._timed_out() from error

    def _fetch(self, url: str, name: str, refresh: bool) -> Repository:
        deadline = time.monotonic() + self.timeout
        for _ in range(REDIRECTS_MAX + 1):
            self._heed_limit()
            response = self._ask(url, deadline, refresh)
            if response.status_code == 200:
                return read_answer(response)
            if response.status_code in REFUSALS:
                raise self._refusal(name, url, response)
            url = urljoin(url, response.headers["Location"])
        raise GitHubFailed("GitHub redirects in circles.")

    def _ask(self, url: str, deadline: float, refresh: bool) -> AnyResponse:
        """Get metadata, a redirect or a refusal; a failure or a limit is raised."""
        try:
            response = self._try_twice(url, deadline, refresh)
        except (requests.RequestException, ValueError) as error:
            if isinstance(error, requests.Timeout) or time.monotonic() >= deadline:
                raise self._timed_out() from error
            if isinstance(error, requests.ConnectionError):
                raise GitHubFailed("GitHub can't be reached.") from error
            if isinstance(error, UnusableRedirect):
                raise GitHubFailed(str(error)) from error
            raise GitHubFailed("GitHub gave an unusable answer.") from error
        if response.status_code >= 500:
            raise GitHubFailed(f"GitHub is failing: it answered {response.status_code}.")
        if wait := _limit(response):
            expires = datetime.now(timezone.utc) + timedelta(seconds=wait)
            self._session.cache.save_response(response, self._limit_key, expires)
            raise _limited(expires)
        if response.status_code not in (200, *REDIRECTS, *REFUSALS):
            raise GitHubFailed(f"GitHub gave an unusable answer: status {response.status_code}.")
        return response

    def _try_twice(self, url: str, deadline: float, refresh: bool) -> AnyResponse:
        latest = deadline - RETRY_DELAY
        try:
            response = self._request(url, deadline, refresh)
            passing = response.status_code >= 500 and "Retry-After" not in response.headers
            if not passing or time.monotonic() >= latest:
                return response
        except requests.ConnectionError:
            if time.monotonic() >= latest:
                raise
        time.sleep(RETRY_DELAY)
        return self._request(url, deadline, refresh)

    def _request(self, url: str, deadline: float, refresh: bool) -> AnyResponse:
        remaining = max(deadline - time.monotonic(), 0.001)
        timeout = urllib3.Timeout(total=remaining, connect=remaining, read=remaining)
        return self._session.get(url, timeout=timeout, allow_redirects=False, refresh=refresh)

    def _heed_limit(self) -> None:
        """Ask GitHub nothing while it limits us, in this process or another with our cache."""
        limit = self._session.cache.get_response(self._limit_key)
        if limit is not None and limit.expires is not None and not limit.is_expired:
            raise _limited(limit.expires)

    @property
    def _limit_key(self) -> str:
        return cache_key(f"rate limit of {self._base_url}")

    def _refusal(self, name: str, url: str, response: requests.Response) -> GitHubError:
        """Tell what one of the REFUSALS means."""
        status = response.status_code
        if status == 401:
            return TokenRejected("GitHub rejected our token; check GITHUB_TOKEN.")
        # Its copy may not come back should GitHub fail next.
        self._session.cache.delete(cache_key(url))
        if status == 451:
            return RepositoryUnavailable(f"{name} is blocked on GitHub for legal reasons.")
        if status == 403:
            return RepositoryUnavailable(f"GitHub forbids access to {name}.")
        return RepositoryUnavailable(
            f"{name} is not on GitHub, or is private and not visible to our token."
        )

    def _timed_out(self) -> GitHubTimeout:
        return GitHubTimeout(f"GitHub did not answer within {self.timeout:g} seconds.")


def _is_fresh(copy: CachedResponse) -> bool:
    return not copy.is_expired


def _may_serve(copy: CachedResponse) -> bool:
    return datetime.now(timezone.utc) - received_at(copy) <= STALE_MAX


def _limited(expires: datetime) -> GitHubRateLimited:
    wait = math.ceil((expires - datetime.now(timezone.utc)).total_seconds())
    return GitHubRateLimited(
        "GitHub's rate limit is used up; a GITHUB_TOKEN raises it.", retry_after=max(wait, 1)
    )


def _limit(response: requests.Response) -> int | None:
    """Tell for how many seconds GitHub limits us by this answer, or None if it does not.

    https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """
    if response.status_code not in (403, 429):
        return None
    headers = response.headers
    now = _epoch(headers.get("Date")) or time.time()  # GitHub's clock, where it tells it
    wait: float | None = None
    if retry_after := headers.get("Retry-After"):
        wait = _number(retry_after)
        if wait is None and (date := _epoch(retry_after)):
            wait = date - now
    elif headers.get("X-RateLimit-Remaining") == "0":
        reset = _number(headers.get("X-RateLimit-Reset"))
        wait = None if reset is None else reset - now
    elif response.status_code == 403 and "rate limit" not in response.text.lower():
        return None
    return SECONDARY_LIMIT if wait is None else math.ceil(min(max(wait, 1), LIMIT_MAX))


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"[0-9]{1,15}", text.strip()) else None


def _epoch(date: str | None) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError):
        return None
