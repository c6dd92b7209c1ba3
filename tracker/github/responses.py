"""The meaning of GitHub's responses: metadata, a redirect, or one GitHubError."""

import email.utils
import math
import time
from datetime import datetime, timedelta, timezone

import requests

from ..errors import (
    GitHubError,
    GitHubFailed,
    GitHubRateLimited,
    GitHubResponseUnusable,
    GitHubTokenRejected,
    GitHubTokenRequired,
    RepositoryBlocked,
    RepositoryForbidden,
    RepositoryUnavailable,
)
from .limits import number
from .repository import printable
from .session import REDIRECTS

REFUSALS = (401, 403, 404, 410, 451)
SECONDARY_LIMIT = 60  # seconds to wait where GitHub does not say how long
RATE_LIMIT_MAX = 24 * 60 * 60  # seconds that we believe
UNSUPPORTED_PROXY = (
    "GitHub can't be reached through the proxy that is set: its kind is not supported here; "
    "check HTTPS_PROXY and ALL_PROXY."
)
UNREADABLE_CERTIFICATES = (
    "GitHub can't be reached: the TLS certificates can't be read here; "
    "check REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE."
)
MESSAGE_MAX = 200  # characters of GitHub's own words


def check_usable(response: requests.Response) -> None:
    """Check that the response is metadata, a redirect or a refusal.

    Raises:
        GitHubFailed: GitHub failed, or sent something else.
    """
    status = response.status_code
    if status >= 500:
        raise GitHubFailed(f"GitHub failed with status {status}; try again later.")
    if status not in (200, *REDIRECTS, *REFUSALS):
        raise GitHubResponseUnusable(f"GitHub sent an unusable response: status {status}.")


def refusal(response: requests.Response, name: str, *, has_token: bool) -> GitHubError:
    """Return the error that one of the REFUSALS means.

    Only GitHub's own JSON about the repository makes it unavailable. A page of a proxy, or a
    refusal that concerns our request, says nothing about the repository.
    """
    said = _github_message(response)
    if said is None:
        return not_github(response)
    if response.status_code == 401:
        if has_token:
            return GitHubTokenRejected("GitHub rejected our token; check GITHUB_TOKEN.")
        return GitHubTokenRequired("GitHub requires a token; set GITHUB_TOKEN.")
    if block := _block(response):
        return RepositoryBlocked(f"GitHub has blocked {name} ({block}).")
    if response.status_code == 451:
        return RepositoryBlocked(f"GitHub has blocked {name} for legal reasons.")
    if response.status_code == 403:
        if "repository" in said.lower():
            return RepositoryForbidden(f"GitHub forbids access to {name}: {said}")
        return GitHubTokenRejected(f"GitHub refused our request: {said}")
    reason = "not visible to our token" if has_token else "needs a token; set GITHUB_TOKEN"
    return RepositoryUnavailable(f"{name} does not exist on GitHub, or is private and {reason}.")


def not_github(response: requests.Response) -> GitHubResponseUnusable:
    """Return the error for a response that GitHub's API would not send."""
    return GitHubResponseUnusable(
        f"GITHUB_API_BASE sent status {response.status_code} without GitHub's JSON; "
        "check that URL, and any proxy in between."
    )


def _github_message(response: requests.Response) -> str | None:
    """Return the `message` of GitHub's JSON, or None if the body is something else."""
    try:
        message = response.json()["message"]
    except (ValueError, RecursionError, LookupError, TypeError):
        return None
    return printable(message, MESSAGE_MAX) if isinstance(message, str) else None


def _block(response: requests.Response) -> str | None:
    """Return the reason and the URL of a block, if the response has one."""
    block = response.json().get("block")
    if not isinstance(block, dict):
        return None
    parts = (block.get("reason"), block.get("html_url"))
    return ", ".join(printable(part, MESSAGE_MAX) for part in parts if isinstance(part, str))


def rate_limit(response: requests.Response) -> timedelta | None:
    """Return for how long this response limits us, or None if it does not.

    https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """
    if response.status_code not in (403, 429):
        return None
    headers = response.headers
    now = _epoch(headers.get("Date")) or time.time()  # GitHub's clock, where it is known
    wait: float | None = None
    if retry_after := headers.get("Retry-After"):
        wait = number(retry_after)
        if wait is None and (date := _epoch(retry_after)):
            wait = date - now
    elif headers.get("X-RateLimit-Remaining") == "0":
        reset = number(headers.get("X-RateLimit-Reset"))
        wait = None if reset is None else reset - now
    elif response.status_code == 403 and not _names_rate_limit(response.text.lower()):
        return None
    seconds = SECONDARY_LIMIT if wait is None else math.ceil(min(max(wait, 1), RATE_LIMIT_MAX))
    return timedelta(seconds=seconds)


def rate_limited(until: datetime, *, has_token: bool) -> GitHubRateLimited:
    """Return the error for a rate limit that ends at this time."""
    wait = math.ceil((until - datetime.now(timezone.utc)).total_seconds())
    remedy = "" if has_token else " A GITHUB_TOKEN raises the hourly limit."
    return GitHubRateLimited(
        f"GitHub limits our requests; try again later.{remedy}", retry_after=max(wait, 1)
    )


def _names_rate_limit(text: str) -> bool:
    return any(phrase in text for phrase in ("rate limit", "rate-limit", "abuse detection"))


def _epoch(date: str | None) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError):
        return None
