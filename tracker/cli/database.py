"""The command line: `flask db init`, `flask db status`, `flask doctor`, `flask demo`."""

import logging.config
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup

from tracker import demo, logs
from tracker.cli import doctor
from tracker.config import Settings
from tracker.database import migrations
from tracker.errors import EmbeddedPostgresError, TrackerError
from tracker.postgres import server as embedded

db = AppGroup("db", help="The database's schema.")


def with_database(command: Callable[..., None]) -> Callable[..., None]:
    """Run a command with the embedded database running, where that is the one in use.

    What is expected to fail ends the command with one line instead of a traceback.
    """

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        settings = _settings()
        logging.config.dictConfig(logs.configuration(settings))
        try:
            with embedded.if_wanted(settings.embedded_folder):
                command(*args, **kwargs)
        except (TrackerError, EmbeddedPostgresError) as error:
            raise click.ClickException(str(error)) from error

    return run


@db.command("init")
@with_database
def init() -> None:
    """Make the schema, or bring it up to date; harmless to repeat."""
    for name in migrations.upgrade(_settings()):
        click.echo(f"applied {name}")
    click.echo("The schema is up to date.")


@db.command("status")
@with_database
def status() -> None:
    """Tell which migrations are applied; fails if one is not."""
    rows = migrations.status(_settings())
    for row in rows:
        when = f"applied {row.applied:%Y-%m-%d %H:%M:%S}" if row.applied else "pending"
        click.echo(f"{row.name}  {when}")
    if not all(row.applied for row in rows):
        click.echo("Run `flask db init` to bring the schema up to date.", err=True)
        sys.exit(1)


@click.command("demo")
def demonstrate() -> None:
    """Serve with a local stand-in for GitHub and a few sample tasks."""
    try:
        demo.run()
    except (TrackerError, EmbeddedPostgresError) as error:
        raise click.ClickException(str(error)) from error


@click.command("doctor")
def diagnose() -> None:
    """Check the database, its schema, GitHub and the cache; fails if one does."""
    settings = _settings()
    logging.config.dictConfig(logs.configuration(settings))
    failed = False
    for name, check in doctor.CHECKS.items():
        try:
            click.echo(f"ok    {name}: {check(settings)}")
        except (TrackerError, EmbeddedPostgresError) as error:
            failed = True
            click.echo(f"FAIL  {name}: {error}")
    sys.exit(failed)


def _settings() -> Settings:
    settings: Settings = current_app.config["SETTINGS"]
    return settings


commands = [db, demonstrate, diagnose]
