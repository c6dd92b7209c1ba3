"""Commands `flask db dump` and `flask db restore`, by PostgreSQL's own programs."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from psycopg2.extensions import make_dsn

from ..config import Settings
from ..database import migrations
from ..database.changes import Change, FormerName, StarCount
from ..database.connection import connection_parameters, new_pool
from ..database.errors import NO_SCHEMA
from ..database.models import IdempotencyKey, Task
from ..errors import TrackerError
from ..postgres import server as embedded
from .common import command, current_settings

TABLES = [
    *(m._meta.table_name for m in (Task, FormerName, IdempotencyKey, Change, StarCount)),
    migrations.HISTORY,
]
RESTORE_LOCK_TIMEOUT = 10  # seconds that a restore waits for other sessions


@click.command("dump")
@click.argument("file")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@command
def dump(file: str, force: bool) -> None:
    """Write the whole database to FILE, which only you can read."""
    settings, path = current_settings(), callers_path(file)
    with embedded.running(settings.embedded_folder), new_file(path, force) as output:
        with new_pool(settings) as pool:
            if not pool.table_exists(Task._meta.table_name):
                raise TrackerError(NO_SCHEMA)
        options = ("--format=custom", f"--file={output}")
        run(settings, "pg_dump", *options, *database_options(settings))
    click.echo(f"Wrote {path} ({path.stat().st_size:,} bytes).")


@click.command("restore")
@click.argument("file")
@click.option("--replace", is_flag=True, help="Delete the tasks that the database has.")
@command
def restore(file: str, replace: bool) -> None:
    """Restore the whole database from FILE, or change nothing."""
    settings, path = current_settings(), callers_path(file)
    check_readable(path)
    with embedded.running(settings.embedded_folder):
        with migrations.locked(settings):
            if not replace:
                check_empty(settings)
            with tempfile.TemporaryDirectory() as folder:
                restore_file(settings, path, Path(folder))
        for name in migrations.upgrade(settings):
            click.echo(f"applied {name}")
    click.echo(f"Restored {path}.")


def callers_path(file: str) -> Path:
    """Return the path of a file; a relative one starts where `tracker.py` was called."""
    return Path(os.environ.get("TRACKER_CWD", "")) / file


def check_readable(path: Path) -> None:
    """Raise TrackerError if the file can't be read."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise TrackerError(f"{path} can't be read: {error.strerror}") from error


def check_empty(settings: Settings) -> None:
    """Raise TrackerError if the database has tasks."""
    with new_pool(settings) as pool:
        if not pool.table_exists(Task._meta.table_name):
            return
        if pool.execute_sql("SELECT 1 FROM tasks LIMIT 1").fetchone():
            raise TrackerError("the database has tasks; use --replace to delete them and restore")


def restore_file(settings: Settings, file: Path, folder: Path) -> None:
    """Replace our tables by those of the dump, in one transaction.

    Extensions are created where they are missing, and not replaced: they may belong to another
    role, and other tables may need them.
    """
    remedy = "; take a file that `db dump` has written"
    listing = run(settings, "pg_restore", "--list", str(file), remedy=remedy)
    entries = listing.splitlines(keepends=True)
    if not any(f"TABLE DATA public {Task._meta.table_name} " in entry for entry in entries):
        raise TrackerError(f"{file} is no dump of the tracker's database{remedy}")
    extensions = [entry for entry in entries if re.match(r"\d+; \d+ \d+ EXTENSION ", entry)]
    kept = re.compile(r"\d+; \d+ \d+ (EXTENSION|COMMENT|SCHEMA) ")
    others = [entry for entry in entries if not kept.match(entry)]
    scripts = []
    for name, listed, options in (
        ("extensions", extensions, []),
        ("others", others, ["--clean", "--if-exists"]),
    ):
        if not listed:
            continue
        (folder / f"{name}.list").write_text("".join(listed))
        scripts.append(f"--file={folder / name}")
        run(
            settings,
            "pg_restore",
            *("--no-owner", "--no-privileges", *options),
            *(f"--use-list={folder / name}.list", scripts[-1], str(file)),
        )
    run(
        settings,
        "psql",
        *("--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1"),
        *database_options(settings),
        f"--command=SET lock_timeout = '{RESTORE_LOCK_TIMEOUT}s'",
        # The dump need not have each table of this version.
        f"--command=DROP TABLE IF EXISTS {', '.join(TABLES)}",
        *scripts,
    )


def database_options(settings: Settings) -> list[str]:
    """Return the options that name the database; other accounts can read them."""
    parameters = connection_parameters(settings)
    secrets = {"password", "sslpassword"}
    shown = {name: value for name, value in parameters.items() if name not in secrets}
    return ["--no-password", f"--dbname={make_dsn(**shown)}"]


def run(settings: Settings, name: str, *arguments: str, remedy: str = "") -> str:
    """Run one of PostgreSQL's programs, and return its output.

    Raises:
        TrackerError: it is missing, too old, or failed; then the message ends with the remedy.
    """
    environment = {n: value for n, value in os.environ.items() if n != "PGPASSWORD"}
    if password := connection_parameters(settings).get("password"):
        environment["PGPASSWORD"] = password
    done = subprocess.run(
        [client_program(settings, name), *arguments],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env=environment,
    )
    if done.returncode:
        lines = done.stderr.splitlines()
        errors = [line for line in lines if re.search("error:|ERROR:|FATAL:", line)] or lines
        reason = re.sub(r"^psql:.*?: ", "", errors[0]) if errors else f"status {done.returncode}"
        raise TrackerError(f"{name} failed, and nothing is changed: {reason}{remedy}")
    return done.stdout


def client_program(settings: Settings, name: str) -> str:
    """Return the path of the program: the embedded server's own, or else the one on PATH.

    Raises:
        TrackerError: there is none, or it is older than the server.
    """
    if settings.embedded_folder:
        return str(embedded.binary(name))
    with new_pool(settings) as pool:
        needed = pool.connection().info.server_version // 10_000
    found = shutil.which(name)
    if found is None:
        raise TrackerError(
            f"{name} is not on PATH; install PostgreSQL's client programs of version {needed}"
        )
    text = subprocess.run([found, "--version"], check=True, capture_output=True, text=True).stdout
    version = re.search(r"\d+", text)
    if version is None or int(version[0]) < needed:
        raise TrackerError(
            f"{found} is {text.strip()}, and the server is {needed}; put the programs of version "
            f"{needed} or later on PATH"
        )
    return found


@contextmanager
def new_file(path: Path, force: bool) -> Iterator[Path]:
    """Create a file with mode 0600, which gets its name after the block.

    Raises:
        TrackerError: it exists, and `force` is false; or it can't be written.
    """
    if path.is_dir():
        raise TrackerError(f"{path} is a folder; name a file in it")
    if os.path.lexists(path) and not force:  # a link to nothing is one, too
        raise TrackerError(f"{path} exists; use --force to overwrite it")
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(descriptor)
        try:
            yield Path(name)
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise TrackerError(f"{path} can't be written: {error.strerror}") from error
