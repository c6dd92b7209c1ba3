"""Settings and clients for a GitHub without a database."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import requests

from tracker.config import Settings
from tracker.demo.github import GitHub
from tracker.github.client import GitHubClient
from tracker.github.storage import RECEIVED_AT, SQLiteStorage


def accept(response: requests.Response) -> None:
    """Accept any response."""


@pytest.fixture
def settings(github: GitHub, tmp_path: Path) -> Settings:
    """Settings for this test's GitHub, with a new cache."""
    return Settings(
        github_api_base=github.url,
        github_cache=str(tmp_path / "cache.sqlite"),
        github_timeout=5.0,
    )


@pytest.fixture
def client(settings: Settings) -> GitHubClient:
    return GitHubClient(settings)


@pytest.fixture
def storage(settings: Settings) -> SQLiteStorage:
    """The stored responses of all clients with these settings."""
    return SQLiteStorage(settings.github_cache, accept)


@pytest.fixture
def age(storage: SQLiteStorage) -> Callable[[timedelta], datetime]:
    """Return a function that makes all cached responses stale, and confirmed so long ago.

    The function returns the time of the confirmation.
    """

    def age(since: timedelta) -> datetime:
        confirmed_at = datetime.now(timezone.utc) - since
        for key, response in list(storage.items()):
            response.expires = datetime.now(timezone.utc)
            response.headers[RECEIVED_AT] = confirmed_at.isoformat()
            storage[key] = response
        return confirmed_at

    return age
