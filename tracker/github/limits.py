"""GitHub's rate limit as its responses tell it.

https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

RESOURCE = "core"  # the limit that covers repositories; others are of searches and such


def number(text: str | None) -> float | None:
    """Return the whole number that a header has, or None."""
    return float(text) if text and re.fullmatch(r"[0-9]{1,15}", text.strip()) else None


@dataclass(frozen=True)
class RateLimitStatus:
    """The calls that GitHub allows until a time, and those that remain."""

    limit: int
    remaining: int
    resets_at: datetime

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> "RateLimitStatus | None":
        """Return what the headers of a response tell, or None."""
        if headers.get("X-RateLimit-Resource", RESOURCE) != RESOURCE:
            return None
        found = [number(headers.get(f"X-RateLimit-{n}")) for n in ("Limit", "Remaining", "Reset")]
        return cls._build(*found)

    @classmethod
    def parse(cls, text: str) -> "RateLimitStatus | None":
        """Return the status that `str` made a text of, or None where another program did."""
        try:
            found = [number(str(value)) for value in json.loads(text)]
            return cls._build(*found)
        except (ValueError, TypeError, RecursionError):
            return None

    @classmethod
    def _build(
        cls, limit: float | None, remaining: float | None, reset: float | None
    ) -> "RateLimitStatus | None":
        if limit is None or remaining is None or reset is None:
            return None
        try:
            resets_at = datetime.fromtimestamp(reset, timezone.utc)
        except (ValueError, OverflowError, OSError):
            return None
        return cls(int(limit), int(remaining), resets_at)

    def __str__(self) -> str:
        return json.dumps([self.limit, self.remaining, int(self.resets_at.timestamp())])
