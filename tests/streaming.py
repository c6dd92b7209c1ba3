"""A PostgreSQL with a streaming standby, both of which only a test uses."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hurt import server_url
from tracker.postgres import server as embedded
from tracker.postgres.account import server_account
from tracker.postgres.binaries import run

# The folder of the sockets is private, so no password is needed.
OPTIONS = {"fsync": "off", "max_standby_streaming_delay": "0"}
LOGINS = "local all all trust\nlocal replication all trust\n"


@contextmanager
def replicated(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Run a primary and a standby; yield their data folders."""
    logins = folder / "logins.conf"
    logins.write_text(LOGINS)
    logins.chmod(0o644)
    options = OPTIONS | {"hba_file": str(logins)}
    primary, standby = folder / "primary", folder / "standby"
    with embedded.running(primary, options):
        copy(primary, standby)
        with embedded.running(standby, OPTIONS):
            yield primary, standby


def copy(primary: Path, standby: Path) -> None:
    """Copy a running server, so that the copy will start as its standby."""
    standby.mkdir(mode=0o700)
    if account := server_account(primary):
        os.chown(standby, *account)
    source = f"--dbname={server_url(primary)}"
    options = ("--write-recovery-conf", "--checkpoint=fast", "--no-sync")
    run(primary, "pg_basebackup", f"--pgdata={standby}", source, *options)
