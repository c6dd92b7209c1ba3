"""Client for GitHub's REST API: a repository's name in, its metadata or one GitHubError out."""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from threading import BoundedSemaphore, Lock
from urllib.parse import urljoin

import requests
from requests_cache.models.response import CachedResponse

from ..config import Settings
from ..errors import (
    GitHubError,
    GitHubResponseUnusable,
    GitHubTimeout,
    GitHubTokenRejected,
    GitHubUnreachable,
    RepositoryUnavailable,
    describe,
)
from .names import web_host
from .repository import Repository, parse_repository_response, received_at
from .responses import (
    REFUSALS,
    UNREADABLE_CERTIFICATES,
    UNSUPPORTED_PROXY,
    check_usable,
    rate_limit,
    rate_limited,
    refusal,
)
from .session import GitHubSession, UnusableRedirect
from .single_flight import SingleFlight

logger = logging.getLogger(__name__)

CONCURRENCY_MAX = 100  # calls at a time that GitHub allows an address
REDIRECTS_MAX = 3
STALE_MAX = timedelta(days=7)
LEASE = 2.0  # seconds in which other processes do not call GitHub for the same URL
LEASE_POLL = 0.02  # seconds
RETRY_DELAY = 0.2  # seconds before the one retry of a failure that may be transient


class GitHubClient:
    """Asks GitHub for repositories; each process has one.

    It opens its session at the first use, so that it can be created before a process forks.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._base_url = settings.github_api_base
        self._web_host = web_host(settings.github_api_base)
        self._has_token = settings.github_token is not None
        self.timeout = settings.github_timeout  # seconds, for all attempts of one call together
        self._semaphore = BoundedSemaphore(max(CONCURRENCY_MAX // settings.web_concurrency, 1))
        self._lock = Lock()
        self._opened: GitHubSession | None = None
        self._single_flight = SingleFlight[Repository]()

    @property
    def _session(self) -> GitHubSession:
        with self._lock:
            if self._opened is None:
                self._opened = GitHubSession(self._settings, self._check_cacheable)
            return self._opened

    def repository(self, name: str) -> Repository:
        """Return the metadata of `owner/name`, from the cache while they are fresh.

        While GitHub fails or limits us, a cached response of up to seven days is used.

        Raises:
            RepositoryUnavailable: it does not exist, is not visible to our token, or is blocked.
            GitHubRateLimited: the rate limit is used up, and no cached response is usable.
            GitHubTimeout: GitHub did not respond in time, and no cached response is usable.
            GitHubFailed: GitHub failed, and no cached response is usable; or it rejected our
                token.
        """
        url = f"{self._base_url}/repos/{name}"
        if found := self._cached(url, _is_fresh):
            return found
        try:
            return self._fetch_once(url, name, force_refresh=False)
        except (RepositoryUnavailable, GitHubTokenRejected):
            raise
        except GitHubError as error:
            if stale := self._cached(url, _stale_ok):
                logger.warning("Using a stale response for %s: %s", url, describe(error))
                return stale
            raise

    def refresh(self, name: str, repository_id: int | None) -> Repository:
        """Return the metadata as GitHub has them now; no cached response is used.

        With its id, a repository is found under whatever name it has now.

        Raises:
            GitHubError: as for `repository`.
        """
        named = None
        try:
            named = self._fetch_once(f"{self._base_url}/repos/{name}", name, force_refresh=True)
            if repository_id in (None, named.id):
                return named
        except RepositoryUnavailable:
            if repository_id is None:
                raise
        # The name is free now, or belongs to another repository.
        try:
            url = f"{self._base_url}/repositories/{repository_id}"
            return self._fetch_once(url, name, force_refresh=True)
        except RepositoryUnavailable:
            if named is None:
                raise
            return named  # deleted, and created anew under its name

    def _check_cacheable(self, response: requests.Response) -> None:
        """Check that a response with status 200 describes a repository."""
        if response.status_code == 200:
            parse_repository_response(response, self._web_host)

    def _cached(self, url: str, usable: Callable[[CachedResponse], bool]) -> Repository | None:
        """Return the cached metadata, through redirects, if each response on the way is usable."""
        for _ in range(REDIRECTS_MAX + 1):
            response = self._session.cache.get_response(self._session.cache_key(url))
            if response is None or not usable(response):
                return None
            if response.status_code == 200:
                return parse_repository_response(response, self._web_host)
            url = urljoin(url, response.headers.get("Location", ""))
        return None

    def _fetch_once(self, url: str, name: str, *, force_refresh: bool) -> Repository:
        """Coalesce concurrent requests for one URL."""
        fetch = self._fetch if force_refresh else self._fetch_or_wait
        key = (self._session.cache_key(url), force_refresh)
        try:
            return self._single_flight.run(key, lambda: fetch(url, name), self.timeout + 1)
        except FutureTimeoutError as error:
            raise self._timed_out() from error

    def _fetch_or_wait(self, url: str, name: str) -> Repository:
        """Fetch, unless another process with the same cache does: then wait for its response.

        A lease ends by itself soon: at worst, a second call is made.
        """
        deadline = time.monotonic() + self.timeout
        cache, key = self._session.shared_cache, self._session.cache_key(url)
        while not cache.acquire(key, LEASE):
            time.sleep(LEASE_POLL)
            if found := self._cached(url, _is_fresh):
                return found
            if time.monotonic() >= deadline:
                raise self._timed_out()
        try:
            return self._cached(url, _is_fresh) or self._fetch(url, name, force_refresh=False)
        finally:
            cache.release(key)

    def _fetch(self, url: str, name: str, force_refresh: bool = True) -> Repository:
        deadline = time.monotonic() + self.timeout
        with self._slot(deadline):
            for _ in range(REDIRECTS_MAX + 1):
                self._check_rate_limit()
                response = self._request(url, deadline, force_refresh)
                if response.status_code == 200:
                    return parse_repository_response(response, self._web_host)
                if response.status_code in REFUSALS:
                    error = refusal(response, name, has_token=self._has_token)
                    if isinstance(error, RepositoryUnavailable):
                        # An older response must not be used should GitHub fail next.
                        self._session.cache.delete(self._session.cache_key(url))
                    raise error
                url = urljoin(url, response.headers["Location"])
        raise GitHubResponseUnusable("GitHub redirected in a loop.")

    @contextmanager
    def _slot(self, deadline: float) -> Iterator[None]:
        """Limit concurrent calls to GitHub."""
        if not self._semaphore.acquire(timeout=deadline - time.monotonic()):
            raise self._timed_out()
        try:
            yield
        finally:
            self._semaphore.release()

    def _request(self, url: str, deadline: float, force_refresh: bool) -> requests.Response:
        """Return metadata, a redirect or a refusal; raise anything else as a GitHubError."""
        try:
            response = self._request_with_retry(url, deadline, force_refresh)
        except (requests.RequestException, ValueError) as error:
            if isinstance(error, requests.Timeout) or time.monotonic() >= deadline:
                raise self._timed_out() from error
            if isinstance(error, requests.ConnectionError):
                raise GitHubUnreachable("GitHub can't be reached.") from error
            if isinstance(error, UnusableRedirect):
                raise GitHubResponseUnusable(str(error)) from error
            if isinstance(error, requests.exceptions.InvalidSchema):
                raise GitHubUnreachable(UNSUPPORTED_PROXY) from error
            raise GitHubResponseUnusable("GitHub sent an unusable response.") from error
        except OSError as error:  # requests' own, before it connects
            raise GitHubUnreachable(UNREADABLE_CERTIFICATES) from error
        if wait := rate_limit(response):
            until = datetime.now(timezone.utc) + wait
            self._session.cache.save_response(response, self._rate_limit_key, until)
            raise rate_limited(until, has_token=self._has_token)
        check_usable(response)
        return response

    def _request_with_retry(
        self, url: str, deadline: float, force_refresh: bool
    ) -> requests.Response:
        retry_until = deadline - RETRY_DELAY
        try:
            response = self._session.fetch(url, deadline, force_refresh=force_refresh)
            transient = response.status_code >= 500 and "Retry-After" not in response.headers
            if not transient or time.monotonic() >= retry_until:
                return response
        except requests.ConnectionError:
            if time.monotonic() >= retry_until:
                raise
        time.sleep(RETRY_DELAY)
        return self._session.fetch(url, deadline, force_refresh=force_refresh)

    def _check_rate_limit(self) -> None:
        """Raise GitHubRateLimited while GitHub limits us, whichever process was told so."""
        limit = self._session.cache.get_response(self._rate_limit_key)
        if limit is not None and limit.expires is not None and not limit.is_expired:
            raise rate_limited(limit.expires, has_token=self._has_token)

    @property
    def _rate_limit_key(self) -> str:
        return self._session.cache_key(f"rate limit of {self._base_url}")

    def _timed_out(self) -> GitHubTimeout:
        return GitHubTimeout(f"GitHub did not respond within {self.timeout:g} seconds.")


def _is_fresh(response: CachedResponse) -> bool:
    return not response.is_expired


def _stale_ok(response: CachedResponse) -> bool:
    return datetime.now(timezone.utc) - received_at(response) <= STALE_MAX
