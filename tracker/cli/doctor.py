"""What `flask doctor` looks at: each thing that the service stands on."""

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import requests

from tracker.config import Settings
from tracker.database import migrations
from tracker.database.connection import borrowed, database
from tracker.errors import GitHubFailed, TrackerError
from tracker.github.session import HEADERS
from tracker.postgres import server as embedded


def check_database(settings: Settings) -> str:
    """Connect, and tell the server's version."""
    with embedded.if_wanted(settings.embedded_folder), borrowed():
        (version,) = database.execute_sql("SHOW server_version").fetchone()
    return f"PostgreSQL {version}, {'embedded' if settings.embedded_folder else 'DATABASE_URL'}"


def check_schema(settings: Settings) -> str:
    """See that each migration is applied."""
    with embedded.if_wanted(settings.embedded_folder), borrowed():
        migrations.check_current()
    return "up to date"


def check_github(settings: Settings) -> str:
    """Ask for the rate limit, which costs none of it."""
    token = {"Authorization": f"Bearer {settings.github_token}"} if settings.github_token else {}
    try:
        response = requests.get(
            f"{settings.github_api_base}/rate_limit",
            headers={**HEADERS, **token},
            timeout=settings.github_timeout,
            allow_redirects=False,
        )
        if response.status_code == 401:
            raise GitHubFailed("GitHub rejected our token; check GITHUB_TOKEN")
        if response.status_code == 404:  # as GitHub Enterprise Server answers without a limit
            return "answers, and has no rate limit"
        core = response.json()["resources"]["core"]
        return f"{core['remaining']} of {core['limit']} calls left this hour"
    except (requests.RequestException, ValueError, LookupError, TypeError) as error:
        raise GitHubFailed(f"{settings.github_api_base} gives no sound answer: {error}") from error


def check_cache(settings: Settings) -> str:
    """See that the cache's file can be written, where it is a file."""
    place = settings.github_cache
    if place == "memory":
        return place
    if "://" in place:  # the rest of a URL may hold a password
        url = urlsplit(place)
        return f"{url.scheme}://{url.hostname}"
    path = Path(place)
    existing = next(p for p in (path, *path.parents) if p.exists())
    if not os.access(existing, os.W_OK):
        raise TrackerError(f"{path} can't be written; the service goes on without it")
    return str(path)


CHECKS: dict[str, Callable[[Settings], str]] = {
    "database": check_database,
    "schema": check_schema,
    "GitHub": check_github,
    "cache": check_cache,
}
