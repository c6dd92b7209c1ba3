"""Command `flask doctor`: check what the service depends on."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import click
import requests

from ..config import Settings
from ..database import migrations
from ..database.connection import connection, database
from ..errors import GitHubFailed, TrackerError
from ..github.session import HEADERS
from ..github.time_limit import TimeLimitExceeded, time_limit
from ..postgres import server as embedded
from .common import FAILURES, command, current_settings, reason


@click.command("doctor")
@command
def doctor() -> None:
    """Check the database, its schema, GitHub and the cache; exit with 1 if one fails."""
    settings = current_settings()
    failed = False
    for name, check in CHECKS.items():
        try:
            click.echo(f"ok    {name}: {check(settings)}")
        except FAILURES as error:
            failed = True
            click.echo(f"FAIL  {name}: {reason(error)}")
    sys.exit(failed)


def check_database(settings: Settings) -> str:
    """Return the version of the server."""
    with embedded.running(settings.embedded_folder), connection():
        (version,) = database.execute_sql("SHOW server_version").fetchone()
    return f"PostgreSQL {version}, {'embedded' if settings.embedded_folder else 'DATABASE_URL'}"


def check_schema(settings: Settings) -> str:
    """Check that each migration is applied."""
    with embedded.running(settings.embedded_folder), connection():
        newer = migrations.check_current()
    return f"newer than this code, by {', '.join(newer)}" if newer else "up to date"


def check_github(settings: Settings) -> str:
    """Request the rate limit, which does not count against it."""
    token = {"Authorization": f"Bearer {settings.github_token}"} if settings.github_token else {}
    try:
        with time_limit(settings.github_timeout):
            response = requests.get(
                f"{settings.github_api_base}/rate_limit",
                headers={**HEADERS, **token},
                timeout=settings.github_timeout,
                allow_redirects=False,
            )
        if response.status_code == 401:
            raise GitHubFailed("GitHub rejected our token; check GITHUB_TOKEN")
        if response.status_code == 404 and "rate limit" in response.json()["message"].lower():
            return "reachable, without a rate limit"  # a GitHub Enterprise Server
        core = response.json()["resources"]["core"]
        return f"{core['remaining']} of {core['limit']} calls left this hour"
    except TimeLimitExceeded as error:
        raise GitHubFailed(f"{settings.github_api_base} did not respond: {error}") from error
    except (requests.RequestException, ValueError, LookupError, TypeError) as error:
        message = f"{settings.github_api_base} sent no usable response: {error}"
        raise GitHubFailed(message) from error


def check_cache(settings: Settings) -> str:
    """Check that the cache's file can be written, if it is a file."""
    location = settings.github_cache
    if location == "memory":
        return location
    if "://" in location:  # the rest of a URL may contain a password
        url = urlsplit(location)
        return f"{url.scheme}://{url.hostname}"
    path = Path(location)
    existing = next(p for p in (path, *path.parents) if p.exists())
    if not os.access(existing, os.W_OK):
        raise TrackerError(f"{path} can't be written; the service uses memory instead")
    return str(path)


CHECKS: dict[str, Callable[[Settings], str]] = {
    "database": check_database,
    "schema": check_schema,
    "GitHub": check_github,
    "cache": check_cache,
}
