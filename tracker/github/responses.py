"""What a response of GitHub's API means: metadata, a redirect, or one GitHubError."""

import email.utils
import math
import re
import time
from datetime import datetime, timedelta, timezone

import requests

from ..errors import (
    GitHubError,
    GitHubFailed,
    GitHubRateLimited,
    GitHubTokenRejected,
    RepositoryUnavailable,
)
from .repository import parse_repository_response
from .session import REDIRECTS

REFUSALS = (401, 403, 404, 410, 451)
SECONDARY_LIMIT = 60  # seconds to wait where GitHub does not say how long
RATE_LIMIT_MAX = 24 * 60 * 60  # seconds that we believe


def check_cacheable(response: requests.Response) -> None:
    """Check a response with status 200 before it enters the cache.

    Raises:
        UnusableResponse: it describes no repository.
    """
    if response.status_code == 200:
        parse_repository_response(response)


def check_usable(response: requests.Response) -> None:
    """Check that the response is metadata, a redirect or a refusal.

    Raises:
        GitHubFailed: GitHub failed, or sent something else.
    """
    status = response.status_code
    if status >= 500:
        raise GitHubFailed(f"GitHub failed with status {status}.")
    if status not in (200, *REDIRECTS, *REFUSALS):
        raise GitHubFailed(f"GitHub sent an unusable response: status {status}.")


def refusal(response: requests.Response, name: str) -> GitHubError:
    """Return the error that one of the REFUSALS means for the repository."""
    if response.status_code == 401:
        return GitHubTokenRejected("GitHub rejected our token; check GITHUB_TOKEN.")
    if response.status_code == 451:
        return RepositoryUnavailable(f"{name} is blocked on GitHub for legal reasons.")
    if response.status_code == 403:
        return RepositoryUnavailable(f"GitHub forbids access to {name}.")
    return RepositoryUnavailable(
        f"{name} does not exist on GitHub, or is private and not visible to our token."
    )


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
        wait = _number(retry_after)
        if wait is None and (date := _epoch(retry_after)):
            wait = date - now
    elif headers.get("X-RateLimit-Remaining") == "0":
        reset = _number(headers.get("X-RateLimit-Reset"))
        wait = None if reset is None else reset - now
    elif response.status_code == 403 and not _names_rate_limit(response.text.lower()):
        return None
    seconds = SECONDARY_LIMIT if wait is None else math.ceil(min(max(wait, 1), RATE_LIMIT_MAX))
    return timedelta(seconds=seconds)


def rate_limited(until: datetime) -> GitHubRateLimited:
    """Return the error for a rate limit that ends at this time."""
    wait = math.ceil((until - datetime.now(timezone.utc)).total_seconds())
    return GitHubRateLimited(
        "GitHub's rate limit is used up; a GITHUB_TOKEN raises it.", retry_after=max(wait, 1)
    )


def _names_rate_limit(text: str) -> bool:
    return any(phrase in text for phrase in ("rate limit", "rate-limit", "abuse detection"))


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"[0-9]{1,15}", text.strip()) else None


def _epoch(date: str | None) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError):
        return None
