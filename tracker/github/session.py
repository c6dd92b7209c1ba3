"""HTTP session to GitHub: cached, bounded in time and size, and careful with the token."""

import hashlib
import time
from datetime import datetime, timezone
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests_cache import DO_NOT_CACHE, CachedSession

from ..config import Settings
from ..metrics import GITHUB_CALLS
from .cache import open_cache
from .limits import RateLimitStatus
from .storage import RECEIVED_AT, Check
from .time_limit import TimeLimitExceeded, time_limit

BODY_MAX = 1024 * 1024  # bytes, decompressed; a repository's metadata take some 20,000
REDIRECTS = (301, 302, 307, 308)
STATUSES = frozenset(HTTPStatus)
HEADERS = {
    "Accept": "application/vnd.github+json",
    "User-Agent": "github-task-tracker",
    "X-GitHub-Api-Version": "2022-11-28",
}


class ResponseTooLarge(requests.RequestException):
    """The body is larger than BODY_MAX; for the user."""


class UnusableRedirect(requests.RequestException):
    """The target is another host, another kind of resource, or the same URL; for the user."""


class GitHubSession(CachedSession):
    """A cached session that sends requests to GITHUB_API_BASE's host alone."""

    def __init__(self, settings: Settings, check: Check) -> None:
        token = settings.github_token
        # Responses seen with one token must not serve another.
        self._identity = hashlib.sha256((token or "").encode()).hexdigest()[:16]

        self.rate_limit_url = f"{settings.github_api_base}/rate_limit"
        self._rate_limit_key = self.cache_key(f"status of {self.rate_limit_url}")

        def check_response(response: requests.Response) -> None:
            if response.status_code in REDIRECTS:
                check_redirect(response)
            if response.url != self.rate_limit_url:
                check(response)

        self.shared_cache = open_cache(settings.github_cache, check_response)
        super().__init__(
            backend=self.shared_cache,
            expire_after=settings.github_cache_ttl,
            urls_expire_after={self.rate_limit_url: DO_NOT_CACHE},
            allowable_codes=(200, 301),
            key_fn=lambda request, **_: self.cache_key(request.url),
        )
        base = urlsplit(settings.github_api_base)
        self.adapters.clear()
        self.mount(
            f"{base.scheme}://{base.netloc}/", GitHubAdapter(token, self._receive(check_response))
        )
        self.headers.update(HEADERS)
        # With any `auth`, requests does not send what a .netrc file has for the host.
        self.auth = lambda request: request
        # GitHub's responses vary by cookie: with one, each cached response would be a miss.
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def _receive(self, check: Check) -> Check:
        """Return the check of a response that has come from GitHub, which notes its rate limit."""

        def receive(response: requests.Response) -> None:
            if status := RateLimitStatus.of(response.headers):
                self.shared_cache.write_note(self._rate_limit_key, str(status))
            check(response)

        return receive

    def rate_limit_status(self) -> RateLimitStatus | None:
        """Return what GitHub told last under this token, whichever process it told, or None."""
        text = self.shared_cache.read_note(self._rate_limit_key)
        return None if text is None else RateLimitStatus.parse(text)

    def cache_key(self, url: str) -> str:
        """Return the key of a URL's response; GitHub ignores the case of a repository's name."""
        return f"{self._identity} {url.lower()}"

    def fetch(self, url: str, deadline: float, *, force_refresh: bool) -> requests.Response:
        """Request a URL, through the cache unless `force_refresh`; follow no redirect.

        `deadline` is the value of time.monotonic() at which to stop.

        Raises:
            requests.Timeout: there was no complete response in time.
            requests.RequestException: the response is unusable, or there was none.
        """
        remaining = max(deadline - time.monotonic(), 0.001)
        return self.get(url, timeout=remaining, allow_redirects=False, force_refresh=force_refresh)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Return None: requests would prepare the next request, with credentials of .netrc."""
        return None


class GitHubAdapter(HTTPAdapter):
    """Sends the token on a copy of the request, so that neither cache nor redirect sees it.

    `check` raises a requests.RequestException for a response that may not enter the cache.
    """

    def __init__(self, token: str | None, check: Check) -> None:
        self._token = token
        self._check = check
        super().__init__()

    def send(
        self, request: requests.PreparedRequest, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """Send a request; `timeout`, in seconds, bounds the whole response."""
        authorized = request.copy()
        if self._token:
            authorized.headers["Authorization"] = f"Bearer {self._token}"
        try:
            with time_limit(kwargs["timeout"]):
                response = super().send(authorized, *args, **{**kwargs, "stream": True})
                read_body(response)
        except TimeLimitExceeded as error:
            GITHUB_CALLS.labels("timeout").inc()
            raise requests.Timeout(str(error), request=request) from error
        except (requests.RequestException, OSError) as error:
            outcome = "timeout" if isinstance(error, requests.Timeout) else "no_response"
            GITHUB_CALLS.labels(outcome).inc()
            raise
        GITHUB_CALLS.labels(_outcome(response.status_code)).inc()
        response.request = request
        response.headers[RECEIVED_AT] = datetime.now(timezone.utc).isoformat()
        self._check(response)
        return response


def _outcome(status: int) -> str:
    return str(status) if status in STATUSES else "invalid_status"


def read_body(response: requests.Response) -> None:
    """Read the body of a streamed response.

    Raises:
        ResponseTooLarge: it is larger than BODY_MAX.
    """
    body = b""
    with response:
        for chunk in response.iter_content(64 * 1024):
            body += chunk
            if len(body) > BODY_MAX:
                raise ResponseTooLarge(f"the body is larger than {BODY_MAX:,} bytes")
    response._content = body  # as requests' own `content` does


def check_redirect(response: requests.Response) -> None:
    """Check that a redirect leads to another URL of the same host.

    Raises:
        UnusableRedirect: it does not.
    """
    try:
        target = urljoin(response.url, response.headers.get("Location", ""))
        here, there = urlsplit(response.url), urlsplit(target)
    except ValueError as error:
        raise UnusableRedirect("GitHub sent a malformed redirect.") from error
    if (there.scheme, there.netloc) != (here.scheme, here.netloc):
        raise UnusableRedirect("GitHub redirected to another host, which is not followed.")
    if target.lower() == response.url.lower():
        raise UnusableRedirect("GitHub redirected in a loop.")
    # The path of GITHUB_API_BASE precedes both forms.
    root = here.path.lower().split("/repos/")[0].split("/repositories/")[0]
    if not there.path.lower().startswith((f"{root}/repos/", f"{root}/repositories/")):
        raise UnusableRedirect("GitHub redirected to something that is no repository.")
