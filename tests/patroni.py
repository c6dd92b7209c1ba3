"""PostgreSQL servers run by Patroni, with etcd and HAProxy, all as documented."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest
import requests

from debian_postgresql import PostgreSQL, binaries, identity, own, owned_folder
from helpers import PATIENCE, ROOT, free_port, wait_for

EXAMPLES = ROOT / "docs" / "examples"
PASSWORD = "PASSWORD-OF-POSTGRES"  # the example's own
DOCUMENTED = {"pg1": "10.0.0.11", "pg2": "10.0.0.12"}
ETCD = "10.0.0.21:2379,10.0.0.22:2379,10.0.0.23:2379"


def replaced(text: str, replacements: dict[str, str]) -> str:
    for documented, actual in replacements.items():
        assert documented in text, documented
        text = text.replace(documented, actual)
    return text


class Member(PostgreSQL):
    """One of the servers, and its Patroni."""

    def __init__(self, folder: Path, name: str, etcd: str) -> None:
        super().__init__(folder, name)
        self.api_port = free_port()
        self.configuration = folder / f"{name}.yml"
        self.log = folder / f"{name}.log"
        self.patroni: subprocess.Popen[bytes] | None = None
        text = replaced(
            (EXAMPLES / "patroni.yml").read_text(),
            {
                "name: pg1": f"name: {name}",
                "10.0.0.11:8008": f"127.0.0.1:{self.api_port}",
                "10.0.0.11:5432": f"127.0.0.1:{self.port}",
                "10.0.0.0/24": "127.0.0.1/32",
                "/var/lib/postgresql/15/tracker": str(self.data),
                "/usr/lib/postgresql/15/bin": str(binaries()),
                "max_connections: 200": f"unix_socket_directories: {folder}",
                ETCD: etcd,
            },
        )
        self.configuration.write_text(text)
        self.configuration.chmod(0o644)

    def start(self) -> None:
        """Start Patroni, which starts PostgreSQL."""
        command = ["/usr/bin/patroni", str(self.configuration)]
        home = self.data.with_suffix(".home")  # for its password file
        home.mkdir(exist_ok=True)
        own(home)
        environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
        with self.log.open("ab") as log:
            self.patroni = subprocess.Popen(
                command, cwd="/", env=environment, stdout=log, stderr=log, **identity()
            )

    def kill(self) -> None:
        """Kill Patroni and PostgreSQL, as if the machine were gone."""
        if self.patroni:
            self.patroni.kill()
            self.patroni.wait()
        super().kill()

    def kill_server(self) -> None:
        """Kill PostgreSQL only."""
        super().kill()

    @property
    def url(self) -> str:
        return f"postgresql://postgres:{PASSWORD}@{self.host}/tracker"

    def says(self, role: str) -> bool:
        """Return whether Patroni says that the server has this role."""
        with suppress(requests.ConnectionError):
            url = f"http://127.0.0.1:{self.api_port}/{role}"
            return requests.get(url, timeout=PATIENCE).status_code == 200
        return False

    def is_primary(self) -> bool:
        """Return whether the server accepts writes."""
        with suppress(psycopg2.OperationalError):
            return self.execute("SELECT pg_is_in_recovery()", "postgres") == [(False,)]
        return False


@dataclass
class Patroni:
    """The servers, and the port of HAProxy."""

    members: list[Member]
    haproxy: int

    def primary(self) -> Member:
        """Wait for a primary, and for a standby that may replace it; return the primary."""
        wait_for_long(
            lambda: (
                any(member.is_primary() for member in self.members)
                and any(member.says("sync") for member in self.members)
            )
        )
        (primary,) = (member for member in self.members if member.is_primary())
        return primary

    def other(self, member: Member) -> Member:
        (other,) = (one for one in self.members if one is not member)
        return other

    def url(self, *hosts: str) -> str:
        """Return DATABASE_URL with these hosts, as documented."""
        options = "?target_session_attrs=read-write" if len(hosts) > 1 else ""
        return f"postgresql://postgres:{PASSWORD}@{','.join(hosts)}/tracker{options}"


def wait_for_long(condition: Callable[[], bool]) -> None:
    """Wait as long as Patroni takes to replace a server."""
    for _ in range(2):
        with suppress(AssertionError):
            return wait_for(condition)
    return wait_for(condition)


def run(stack: ExitStack, folder: Path, *command: str) -> None:
    """Run a program until the stack closes."""
    with (folder / f"{Path(command[0]).name}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd="/", stdout=log, stderr=log, **identity())
    stack.callback(process.wait, PATIENCE)
    stack.callback(process.kill)


def start_etcd(stack: ExitStack, folder: Path) -> str:
    """Run an etcd of one member; return its address."""
    address, peer = f"127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}"
    options = {
        "name": "etcd",
        "data-dir": str(folder / "etcd"),
        "listen-client-urls": f"http://{address}",
        "advertise-client-urls": f"http://{address}",
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"etcd={peer}",
    }
    run(stack, folder, "/usr/bin/etcd", *(f"--{name}={value}" for name, value in options.items()))
    return address


@contextmanager
def patroni_running() -> Iterator[Patroni]:
    """Run etcd, two servers and HAProxy for the block; skip the test without one of them."""
    for program in ("etcd", "patroni", "haproxy"):
        if shutil.which(program, path="/usr/bin:/usr/sbin") is None:
            pytest.skip(f"{program} is not installed")
    with owned_folder() as folder, ExitStack() as stack:
        etcd = start_etcd(stack, folder)
        members = [Member(folder, name, etcd) for name in DOCUMENTED]
        for member in members:
            stack.callback(member.kill)
            member.start()
        patroni = Patroni(members, free_port())
        configuration = folder / "haproxy.cfg"
        text = (EXAMPLES / "haproxy.cfg").read_text()
        servers = {"127.0.0.1:5000": f"127.0.0.1:{patroni.haproxy}"}
        for member in members:
            documented = f"{DOCUMENTED[member.name]}:5432 check port 8008"
            servers[documented] = f"{member.host} check port {member.api_port}"
        configuration.write_text(replaced(text, servers))
        configuration.chmod(0o644)
        run(stack, folder, "/usr/sbin/haproxy", "-db", "-f", str(configuration))
        primary = patroni.primary()
        primary.execute("CREATE DATABASE tracker", "postgres")
        yield patroni
