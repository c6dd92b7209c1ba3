"""Client for GitHub's REST API: a repository's name in, its metadata or one GitHubError out."""

import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from urllib.parse import urljoin

import requests
from requests_cache.models.response import CachedResponse

from ..causes import describe
from ..config import Settings
from ..errors import (
    GitHubError,
    GitHubRateLimited,
    GitHubResponseUnusable,
    GitHubTokenRejected,
    RepositoryUnavailable,
)
from ..metrics import GITHUB_CACHE
from ..renewal import Renewer
from .calls import GitHubCalls
from .limits import RateLimitStatus
from .names import web_host
from .repository import Repository, parse_repository_response, received_at
from .responses import REFUSALS, not_github, refusal
from .session import GitHubSession
from .single_flight import SingleFlight

logger = logging.getLogger(__name__)

REDIRECTS_MAX = 3
STALE_MAX = timedelta(days=7)
LEASE = 1.5  # seconds in which other processes do not call GitHub for the same URL
RENEWAL_INTERVAL = 0.4  # seconds
LEASE_POLL = 0.02  # seconds
RATE_LIMIT_INTERVAL = 1.0  # seconds between two calls for the rate limit


class GitHubClient:
    """Asks GitHub for repositories; each process has one.

    It opens its session at the first use, so that it can be created before a process forks.
    """

    def __init__(self, settings: Settings) -> None:
        self._base_url = settings.github_api_base
        self._web_host = web_host(settings.github_api_base)
        self._has_token = settings.github_token is not None
        self.timeout = settings.github_timeout  # seconds, for all attempts of one call together
        self._asked_at = -math.inf
        self._calls = GitHubCalls(settings, self._check_cacheable)
        self._single_flight = SingleFlight[Repository]()
        self._renewer = Renewer[str](self._renew, RENEWAL_INTERVAL)

    @property
    def _session(self) -> GitHubSession:
        return self._calls.session

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
            GITHUB_CACHE.labels("hit").inc()
            return found
        GITHUB_CACHE.labels("miss").inc()
        try:
            return self._fetch_once(url, name, force_refresh=False)
        except (RepositoryUnavailable, GitHubTokenRejected):
            raise
        except GitHubError as error:
            if stale := self._cached(url, _stale_ok):
                GITHUB_CACHE.labels("stale").inc()
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

    def rate_limit_status(self, *, ask: bool = False) -> RateLimitStatus | None:
        """Return GitHub's rate limit of our token as GitHub told it last, or None.

        With `ask`, GitHub is called, which costs no call of the limit. All processes with one
        cache ask it at most once in RATE_LIMIT_INTERVAL, and not while it limits us.

        Raises:
            GitHubError: it can't respond now.
        """
        if ask and self._may_ask():
            with suppress(GitHubRateLimited):
                self._ask_for_rate_limit()
        return self._session.rate_limit_status()

    def _may_ask(self) -> bool:
        """Return whether no process has asked for the rate limit a moment ago."""
        now = time.monotonic()
        if now - self._asked_at < RATE_LIMIT_INTERVAL:
            return False
        self._asked_at = now  # the cache, which the others share, may fail
        key = self._session.cache_key(f"lease of {self._session.rate_limit_url}")
        return self._session.shared_cache.acquire(key, RATE_LIMIT_INTERVAL)

    def _ask_for_rate_limit(self) -> None:
        deadline = time.monotonic() + self.timeout
        with self._calls.slot(deadline):
            response = self._calls.request(self._session.rate_limit_url, deadline)
        if response.status_code in REFUSALS:
            error = refusal(response, "The rate limit", has_token=self._has_token)
            # A server of one's own may have none: https://docs.github.com/en/enterprise-server
            if not isinstance(error, RepositoryUnavailable):
                raise error
        elif RateLimitStatus.of(response.headers) is None:
            raise not_github(response)

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
            raise self._calls.timed_out() from error

    def _fetch_or_wait(self, url: str, name: str) -> Repository:
        """Fetch, unless another process with the same cache does: then wait for its response.

        The lease of a process that died ends by itself.
        """
        deadline = time.monotonic() + self.timeout
        cache, key = self._session.shared_cache, self._session.cache_key(url)
        while not cache.acquire(key, LEASE):
            time.sleep(LEASE_POLL)
            if found := self._cached(url, _is_fresh):
                return found
            if time.monotonic() >= deadline:
                raise self._calls.timed_out()
        try:
            with self._renewer.renewed(key):
                return self._cached(url, _is_fresh) or self._fetch(url, name, force_refresh=False)
        finally:
            cache.release(key)

    def _renew(self, keys: set[str]) -> None:
        self._session.shared_cache.renew(keys, LEASE)

    def _fetch(self, url: str, name: str, force_refresh: bool = True) -> Repository:
        deadline = time.monotonic() + self.timeout
        with self._calls.slot(deadline):
            for _ in range(REDIRECTS_MAX + 1):
                response = self._calls.request(url, deadline, force_refresh)
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


def _is_fresh(response: CachedResponse) -> bool:
    return not response.is_expired


def _stale_ok(response: CachedResponse) -> bool:
    return datetime.now(timezone.utc) - received_at(response) <= STALE_MAX
