"""PgBouncer in front of a test's database."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest

from helpers import PATIENCE, free_port, wait_for

MODES = {"session": "on", "transaction": "off"}  # and DATABASE_PREPARED_STATEMENTS
CONFIGURATION = """
[databases]
* = host={host} port={port} user={user} password='{password}'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 200
"""


@contextmanager
def pooled(url: str, mode: str, size: int = 20) -> Iterator[str]:
    """Run PgBouncer in a pool mode; yield the URL of the database behind it."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("needs pgbouncer")
    server = psycopg2.extensions.parse_dsn(url)
    port = free_port()
    values = {"port": "5432", **server, "password": password(server)}
    text = CONFIGURATION.format(**values, mode=mode, size=size, listen_port=port)
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "pgbouncer.ini"
        file.write_text(text)
        identity: dict[str, Any] = {}
        if os.geteuid() == 0:  # PgBouncer refuses to run as root
            uid = owner(server["host"])
            identity = {"user": uid, "group": uid, "extra_groups": []}
            for path in (file.parent, file):
                os.chown(path, uid, uid)
        with (Path(name) / "log").open("wb") as log:
            process = subprocess.Popen([program, str(file)], stdout=log, stderr=log, **identity)
        try:
            pooled_url = f"postgresql://{server['user']}@127.0.0.1:{port}/{server['dbname']}"
            wait_for(lambda: listens(port) or process.poll() is not None)
            assert process.poll() is None, (Path(name) / "log").read_text()
            yield pooled_url
        finally:
            process.kill()
            process.wait(PATIENCE)


def password(server: dict[str, str]) -> str:
    """Return the password that a connection uses."""
    if "passfile" not in server:
        return server.get("password", "")
    lines = Path(server["passfile"]).read_text().splitlines()
    found = {line.split(":")[3]: line.split(":")[4] for line in lines}
    return found[server["user"]]


def owner(host: str) -> int:
    """Return the account that can use the server's socket."""
    return Path(host).stat().st_uid if host.startswith("/") else pwd.getpwnam("nobody").pw_uid


def listens(port: int) -> bool:
    with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port))):
        return True
    return False
