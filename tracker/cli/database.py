"""Commands for the database: `db init`, `db status`, and those in `backup`."""

import sys

import click
from flask.cli import AppGroup

from ..database import migrations
from ..postgres import server as embedded
from .backup import dump, restore
from .common import command, current_settings, program

db = AppGroup("db", help="Manage the database: its schema, and its backups.")
db.add_command(dump)
db.add_command(restore)


@db.command("init")
@command
def init() -> None:
    """Create the schema, or bring it up to date; safe to repeat."""
    settings = current_settings()
    with embedded.running(settings.embedded_folder):
        for name in migrations.upgrade(settings):
            click.echo(f"applied {name}")
    click.echo("The schema is up to date.")


@db.command("status")
@command
def status() -> None:
    """List the migrations; exit with 1 if one is pending."""
    settings = current_settings()
    with embedded.running(settings.embedded_folder):
        rows = migrations.status(settings)
    for row in rows:
        when = f"applied {row.applied:%Y-%m-%d %H:%M:%S}" if row.applied else "pending"
        click.echo(f"{row.name}  {when}")
    if not all(row.applied for row in rows):
        click.echo(f"Run `{program()} db init` to bring the schema up to date.", err=True)
        sys.exit(1)
