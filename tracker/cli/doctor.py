"""Command `doctor`: check what the service depends on."""

import os
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from urllib.parse import urlsplit

import click
import requests
from redis import Redis, RedisError

from ..config import Settings, file_warnings
from ..database import migrations
from ..database.connection import connection, connection_parameters, database
from ..database.errors import explain
from ..database.standby import Standby
from ..errors import DatabaseUnavailable, GitHubFailed, TrackerError
from ..github.cache import check_file
from ..github.responses import check_usable, not_github, refusal
from ..github.session import HEADERS, GitHubAdapter
from ..postgres import server as embedded
from .common import FAILURES, command, current_settings, program, reason

REDIS_TIMEOUT = 5.0  # seconds


@click.command("doctor")
@click.option("--settings", "settings_only", is_flag=True, help="Check the settings alone.")
@command
def doctor(settings_only: bool) -> None:
    """Check the settings, the database, GitHub and the cache; exit with 1 if one fails."""
    settings = current_settings()
    failed = False
    for name, check in CHECKS.items():
        if settings_only and check is not check_settings:
            continue
        if check is check_standby and not settings.database_replica_url:
            continue
        try:
            click.echo(f"ok    {name}: {check(settings)}")
        except FAILURES as error:
            failed = True
            click.echo(f"FAIL  {name}: {reason(error)}")
    for warning in file_warnings():
        click.echo(f"warn  settings: {warning}")
    sys.exit(failed)


def check_settings(settings: Settings) -> str:
    """Return which settings differ from their defaults; invalid ones have stopped the command."""
    changed = [f.name.upper() for f in fields(settings) if getattr(settings, f.name) != f.default]
    return f"{', '.join(changed) or 'none'} set, defaults for the others"


def check_database(settings: Settings) -> str:
    """Return the version of the server."""
    with embedded.running(settings.embedded_folder), connection():
        (version,) = database.execute_sql("SHOW server_version").fetchone()
    return f"PostgreSQL {version}, {'embedded' if settings.embedded_folder else 'DATABASE_URL'}"


def check_schema(settings: Settings) -> str:
    """Check that each migration is applied; the service itself applies those of the embedded."""
    with embedded.running(settings.embedded_folder):
        pending = [row.name for row in migrations.status(settings) if not row.applied]
        if pending and settings.embedded_folder:
            return "the next start creates or updates it"
        if pending:
            names = ", ".join(pending)
            raise DatabaseUnavailable(f"{names} not applied; run: {program()} db init")
        newer = migrations.check(settings)
    return f"newer than this code, by {', '.join(newer)}" if newer else "up to date"


def check_standby(settings: Settings) -> str:
    """Check that the server of DATABASE_REPLICA_URL is a standby, and keeps up."""
    standby = Standby(settings)
    with embedded.running(settings.embedded_folder):
        with connection():
            pass  # a failure of the primary is not the standby's
        try:
            standby.check()
        except DatabaseUnavailable as error:
            cause = explain(error, connection_parameters(standby.settings)).rstrip(".")
            cause = cause.replace("DATABASE_URL", "DATABASE_REPLICA_URL")
            raise TrackerError(f"{cause}; the primary serves its reads") from error
        finally:
            standby.close()
    return "keeps up with the primary"


def check_github(settings: Settings) -> str:
    """Request the rate limit, which does not count against it."""
    base, token = settings.github_api_base, settings.github_token
    with requests.Session() as session:
        session.mount(f"{base}/", GitHubAdapter(token, check_usable))
        session.headers.update(HEADERS)
        session.auth = lambda request: request  # else requests sends what .netrc has for the host
        try:
            response = session.get(
                f"{base}/rate_limit", timeout=settings.github_timeout, allow_redirects=False
            )
        except requests.Timeout as error:
            seconds = f"{settings.github_timeout:g} seconds"
            raise GitHubFailed(f"{base} did not respond within {seconds}") from error
        except (requests.RequestException, OSError) as error:
            reason = root_cause(error)
            message = f"{base} can't be reached: {reason}; check GITHUB_API_BASE and the network"
            raise GitHubFailed(message) from error
    if response.status_code in (401, 403):
        raise refusal(response, base, has_token=token is not None)
    try:
        body = response.json()
        if response.status_code == 404 and "rate limit" in body["message"].lower():
            return f"{base}, without a rate limit"  # a GitHub Enterprise Server
        core = body["resources"]["core"]
        left = f"{core['remaining']} of {core['limit']} calls left this hour"
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise not_github(response) from error
    return f"{base}, {left}" + ("" if token else "; a GITHUB_TOKEN raises the limit")


def root_cause(error: BaseException) -> str:
    """Return the reason in the innermost exception, such as "Connection refused"."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return getattr(error, "strerror", None) or str(error)


def check_cache(settings: Settings) -> str:
    """Check that the service would use the cache's file, or that its Redis responds."""
    location = settings.github_cache
    if location == "memory":
        return location
    if "://" in location:
        return check_redis(location)
    path = Path(location)
    try:
        check_file(path)
    except (OSError, sqlite3.Error) as error:
        cause = getattr(error, "strerror", None) or error
        message = f"{path} can't be used: {cause}; the service uses memory instead"
        raise TrackerError(message) from error
    existing = next(p for p in (path, *path.parents) if p.exists())
    if not os.access(existing, os.W_OK):
        raise TrackerError(f"{path} can't be written; the service uses memory instead")
    return str(path)


def check_redis(url: str) -> str:
    """Check that the Redis responds; return its URL without user, password and database."""
    try:
        parts = urlsplit(url)
        shown = f"{parts.scheme}://{parts.hostname}"
        with Redis.from_url(
            url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT
        ) as redis:
            redis.ping()
    except ValueError as error:  # its text may have a part of the password
        raise TrackerError("GITHUB_CACHE is not a URL of Redis; the service uses memory") from error
    except (RedisError, OSError) as error:
        reason = str(error).rstrip(".")
        message = f"{shown} can't be used: {reason}; the service uses memory instead"
        raise TrackerError(message) from error
    return shown


CHECKS: dict[str, Callable[[Settings], str]] = {
    "settings": check_settings,
    "database": check_database,
    "schema": check_schema,
    "standby": check_standby,
    "GitHub": check_github,
    "cache": check_cache,
}
