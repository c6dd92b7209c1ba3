"""The embedded PostgreSQL: every state that a data folder can be in, and who stops the server."""

import os
import pwd
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from service import ROOT, wait_for
from tracker.errors import EmbeddedPostgresError
from tracker.postgres import server as embedded

PATIENCE = 20  # seconds
STRANGER = 54321  # a user's number, with no name on this machine
# It looks again and again: to a plain read, a signal that comes just before would be news too late.
HOLD = """
import select
import sys
from pathlib import Path
from tracker.postgres import server as embedded
with embedded.running(Path(sys.argv[1])):
    print("up", flush=True)
    while not select.select([sys.stdin], [], [], 0.1)[0]:
        pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A data folder to be made; a server on it that a failed test leaves is killed."""
    folder = tmp_path / "postgres"
    yield folder
    if postmaster := running_postmaster(folder):
        postmaster.kill()


def running_postmaster(folder: Path) -> psutil.Process | None:
    try:
        process = psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))
        alive = process.name() == "postgres" and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.NoSuchProcess):
        return None
    return process if alive else None


def execute(folder: Path, statement: str) -> Any:
    """Run a statement on the folder's server, and give its first value."""
    connection = psycopg2.connect(**embedded.connection_parameters(folder))
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None
    finally:
        connection.close()


@contextmanager
def held(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Have another process use the server, until its input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "up\n"
            yield process
        finally:
            process.kill()


def leave(holder: subprocess.Popen[str]) -> None:
    assert holder.stdin
    holder.stdin.close()
    assert holder.wait(PATIENCE) == 0


@pytest.mark.parametrize(
    "name", ["a b'c\"d%e$HOME`f`\\g", "a,b", "é" * 60], ids=["signs", "comma", "length"]
)
def test_the_data_of_any_folder_are_there_at_the_next_start(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = tmp_path_factory.mktemp("d") / name / "postgres"  # short, for a socket to fit in
    with embedded.running(folder):
        execute(folder, "CREATE TABLE kept AS SELECT 42 AS answer")
    with embedded.running(folder):
        assert execute(folder, "SELECT answer FROM kept") == 42
        assert execute(folder, "SHOW server_encoding") == "UTF8"
    assert running_postmaster(folder) is None
    sockets = Path(embedded.connection_parameters(folder)["host"])
    assert sockets == folder or not sockets.exists()


def test_neither_another_server_nor_libpqs_variables_get_in_the_way(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with embedded.running(folder):
        for name in ("PGHOST", "PGDATA", "PGUSER", "PGDATABASE"):
            monkeypatch.setenv(name, str(folder))
        monkeypatch.setenv("PGPORT", "1")
        other = tmp_path / "other.1"
        with embedded.running(other), embedded.running(tmp_path / "other.2"):
            assert execute(other, "SHOW data_directory") == str(other)
        assert execute(folder, "SHOW data_directory") == str(folder)
        assert running_postmaster(other) is None


def test_a_crash_of_everything_loses_nothing_that_was_committed(folder: Path) -> None:
    with held(folder) as holder:
        execute(folder, "CREATE TABLE kept AS SELECT 42 AS answer")
        postmaster = running_postmaster(folder)
        assert postmaster
        postmaster.kill()
        holder.kill()
        holder.wait(PATIENCE)
    with embedded.running(folder):
        assert execute(folder, "SELECT answer FROM kept") == 42
    assert running_postmaster(folder) is None


def test_a_server_that_dies_is_started_again(folder: Path) -> None:
    with embedded.running(folder):
        execute(folder, "CREATE TABLE kept AS SELECT 42 AS answer")
        busy = psycopg2.connect(**embedded.connection_parameters(folder))
        with ThreadPoolExecutor() as threads:
            # It outlives its server for as long as its statement runs, and no other may start.
            sleep = threads.submit(
                busy.cursor().execute, "SELECT sum(n) FROM generate_series(1, 10000000) n"
            )
            time.sleep(0.1)
            first = running_postmaster(folder)
            assert first
            first.kill()
            wait_for(lambda: running_postmaster(folder) not in (None, first))
            sleep.exception()
        busy.close()
        wait_for(lambda: embedded._answers(folder))
        assert execute(folder, "SELECT answer FROM kept") == 42
    assert running_postmaster(folder) is None


def test_a_crashed_servers_number_may_belong_to_another_process_now(
    folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    with embedded.running(folder):
        pass
    with embedded.running(other):
        postmaster = running_postmaster(other)
        assert postmaster
        for number in (os.getpid(), postmaster.pid):
            (folder / "postmaster.pid").write_text(f"{number}\n{folder}\n")
            with embedded.running(folder):
                assert execute(folder, "SELECT 1") == 1
            assert running_postmaster(folder) is None
        assert execute(other, "SELECT 1") == 1


def test_the_server_of_a_killed_holder_is_taken_over_and_stopped_in_the_end(folder: Path) -> None:
    with held(folder) as holder:
        holder.kill()
        holder.wait(PATIENCE)
        left = running_postmaster(folder)
        assert left
        with embedded.running(folder):
            assert running_postmaster(folder) == left
        assert running_postmaster(folder) is None


def test_the_last_user_stops_the_server(folder: Path) -> None:
    with held(folder) as first, held(folder) as second:
        leave(first)
        assert execute(folder, "SELECT 1") == 1
        leave(second)
        assert running_postmaster(folder) is None


def test_sigterm_stops_the_server_of_a_program_that_does_not_handle_it(folder: Path) -> None:
    with held(folder) as holder:
        holder.terminate()
        assert holder.wait(PATIENCE) == 128 + signal.SIGTERM
        assert running_postmaster(folder) is None


def test_a_half_made_folder_is_thrown_away(folder: Path) -> None:
    unfinished = folder.with_name("postgres.new")
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    with embedded.running(folder):
        assert execute(folder, "SELECT 1") == 1
    assert not unfinished.exists()


def test_the_data_of_another_version_are_not_touched(folder: Path) -> None:
    folder.mkdir()
    (folder / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedPostgresError, match="was made by PostgreSQL 9, and this is"):
        with embedded.running(folder):
            pass
    assert [path.name for path in folder.iterdir()] == ["PG_VERSION"]


@pytest.mark.parametrize("kind", ["folder", "file", "below a file"])
def test_what_is_no_data_folder_is_told_in_one_line(folder: Path, kind: str) -> None:
    wanted = folder
    if kind == "folder":
        folder.mkdir()
        (folder / "thesis.tex").touch()
    else:
        folder.touch()
        wanted = folder if kind == "file" else folder / "postgres"
    with pytest.raises(EmbeddedPostgresError, match=str(folder)) as caught:
        with embedded.running(wanted):
            pass
    assert len(str(caught.value).splitlines()) == 1
    assert folder.is_file() or (folder / "thesis.tex").exists()


def test_a_server_that_does_not_start_says_why(folder: Path) -> None:
    with embedded.running(folder):
        pass
    with (folder / "postgresql.conf").open("a") as settings:
        settings.write("nonsense = 1\n")
    with pytest.raises(EmbeddedPostgresError, match="FATAL: .*postgresql.conf.* contains errors"):
        with embedded.running(folder):
            pass


def test_a_socket_folder_that_another_made_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a,b"
    sockets = Path(embedded.connection_parameters(folder)["host"])
    sockets.symlink_to(tmp_path)
    try:
        with pytest.raises(EmbeddedPostgresError, match=f"{sockets} is not ours"):
            with embedded.running(folder):
                pass
    finally:
        sockets.unlink()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_keeps_the_data_from_others(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(0o700)
    folder = private / "instance" / "postgres"
    with embedded.running(folder):
        assert execute(folder, "SELECT 1") == 1
        assert folder.stat().st_uid != 0
    assert mode(folder) == 0o700
    assert mode(private) == 0o710


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_users_data_stay_the_users_when_root_starts_the_server(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(0o700)
    theirs = private / "theirs"
    theirs.mkdir()
    user = next(user for user in pwd.getpwall() if user.pw_name not in ("root", "nobody"))
    os.chown(theirs, user.pw_uid, user.pw_gid)
    folder = theirs / "postgres"
    with embedded.running(folder):
        assert execute(folder, "SELECT 1") == 1
    assert mode(private) == 0o701
    assert {path.stat().st_uid for path in theirs.rglob("*")} == {user.pw_uid}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_root_serves_data_in_the_folder_of_a_user_without_a_name(tmp_path: Path) -> None:
    os.chown(tmp_path, STRANGER, STRANGER)
    folder = tmp_path / "postgres"
    with embedded.running(folder):
        assert execute(folder, "SELECT 1") == 1
    assert folder.stat().st_uid not in (0, STRANGER)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, STRANGER, STRANGER)
    with embedded.running(folder):
        assert execute(folder, "SELECT 1") == 1
    assert folder.stat().st_uid == STRANGER
