"""Servers of Debian's PostgreSQL that a test starts, kills, promotes and lets follow each other."""

import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from helpers import PATIENCE, ROOT, is_alive, wait_for

EXAMPLE = ROOT / "docs" / "examples" / "postgresql.conf"
ACCOUNT = "postgres"  # PostgreSQL refuses to run as root


def binaries() -> Path:
    """Return the folder of the newest version's programs; skip the test without one."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parts[-2]))
    if not found:
        pytest.skip("Debian's postgresql is not installed")
    return found[-1]


def identity() -> dict[str, Any]:
    """Return the account for PostgreSQL's programs, as parameters of subprocess."""
    return {"user": ACCOUNT, "group": ACCOUNT, "extra_groups": []} if os.geteuid() == 0 else {}


@contextmanager
def owned_folder() -> Iterator[Path]:
    """Create a folder of PostgreSQL's account for the block."""
    with tempfile.TemporaryDirectory(prefix="tracker-cluster-") as name:
        own(Path(name))
        yield Path(name)


def own(path: Path) -> None:
    if os.geteuid() == 0:
        account = pwd.getpwnam(ACCOUNT)
        os.chown(path, account.pw_uid, account.pw_gid)


def server_port() -> int:
    """Return a free port that no outgoing connection takes while its server is down."""
    for port in random.sample(range(20_000, 32_000), 100):  # Linux gives clients 32,768 and more
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


class PostgreSQL:
    """A server in a folder of its own, with the documented configuration."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.data = folder / name
        self.port = server_port()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"postgresql://{ACCOUNT}@{self.host}/tracker"

    def create(self) -> None:
        """Create the data folder, and an empty database."""
        self._run("initdb", "--username", ACCOUNT, "--auth=trust", "--no-sync", "--encoding=UTF8")
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(EXAMPLE.read_text())
        self.start()
        self.set_synchronous(False)
        self.execute("CREATE DATABASE tracker", "postgres")

    def follow(self, primary: "PostgreSQL") -> None:
        """Replace the data by a copy of the primary's, and start as its standby."""
        shutil.rmtree(self.data, ignore_errors=True)
        source = ["--host=127.0.0.1", f"--port={primary.port}", f"--username={ACCOUNT}"]
        options = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
        self._run("pg_basebackup", *source, *options)
        self.start()

    def start(self) -> None:
        listen = f"-p {self.port} -c unix_socket_directories= -c listen_addresses=127.0.0.1"
        self._run("pg_ctl", "start", "--wait", f"--log={self.data}/log", f"--options={listen}")

    def promote(self) -> None:
        self._run("pg_ctl", "promote", "--wait")

    def set_synchronous(self, on: bool) -> None:
        """Let each commit wait for a standby, as documented, or not."""
        change = "RESET synchronous_standby_names" if on else "SET synchronous_standby_names = ''"
        self.execute(f"ALTER SYSTEM {change}", "postgres")
        self.execute("SELECT pg_reload_conf()", "postgres")

    def is_followed(self) -> bool:
        """Return whether commits wait for a standby that is connected."""
        states = self.execute("SELECT sync_state FROM pg_stat_replication", "postgres")
        return [state for (state,) in states] in (["sync"], ["quorum"])

    def processes(self) -> list[psutil.Process]:
        """Return the server's processes, or none if it does not run."""
        try:
            text = (self.data / "postmaster.pid").read_text()
            postmaster = psutil.Process(int(text.split()[0]))
            return [postmaster, *postmaster.children(recursive=True)]
        except (OSError, IndexError, psutil.NoSuchProcess):
            return []

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all processes of the server, as `kill -9` of a machine would."""
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def kill(self) -> None:
        killed = self.processes()
        self.send(signal.SIGKILL)
        wait_for(lambda: not any(map(is_alive, killed)))

    def execute(self, statement: str, database: str = "tracker") -> list[Any]:
        url = self.url.removesuffix("tracker") + database
        with closing(psycopg2.connect(url, connect_timeout=2)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []

    def is_standby(self) -> bool:
        return bool(self.execute("SELECT pg_is_in_recovery()") == [(True,)])

    def _run(self, program: str, *options: str) -> None:
        command = [str(binaries() / program), f"--pgdata={self.data}", *options]
        with tempfile.TemporaryFile() as output:  # a pipe would stay open in the server
            code = subprocess.call(
                command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=PATIENCE,
                **identity(),
            )
            output.seek(0)
            log = self.data / "log"
            lines = log.read_text()[-1000:] if log.exists() else ""
            assert code == 0, output.read().decode() + lines


@contextmanager
def postgresql_servers(*names: str) -> Iterator[list[PostgreSQL]]:
    """Run a primary, and synchronous standbys of it, for the block."""
    binaries()
    with owned_folder() as folder:
        primary, *standbys = servers = [PostgreSQL(folder, name) for name in names]
        try:
            primary.create()
            for standby in standbys:
                standby.follow(primary)
            if standbys:
                primary.set_synchronous(True)
                wait_for(primary.is_followed)
            yield servers
        finally:
            for server in servers:
                server.kill()
