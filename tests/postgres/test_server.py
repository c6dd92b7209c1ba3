"""The embedded server starts, is shared, restarts and stops, in any state of its data folder."""

import os
import signal
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg2
import pytest

from data_folder import (
    PATIENCE,
    accepts_logins,
    copied,
    execute,
    execute_as_superuser,
    held,
    leave,
    running_postmaster,
)
from helpers import wait_for
from tracker.errors import EmbeddedPostgresError
from tracker.postgres import locks
from tracker.postgres import server as embedded


@pytest.mark.parametrize(
    "name", ["a b'c\"d%e$HOME`f`\\g", "a,b", "é" * 60], ids=["signs", "comma", "length"]
)
def test_data_survive_a_restart_whatever_the_path(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = tmp_path_factory.mktemp("d") / name / "postgres"  # short, so that a socket fits
    with embedded.running(folder):
        execute(folder, "CREATE TABLE kept AS SELECT 42 AS number")
    with embedded.running(folder):
        assert execute(folder, "SELECT number FROM kept") == 42
        assert execute(folder, "SHOW server_encoding") == "UTF8"
    assert running_postmaster(folder) is None
    sockets = Path(embedded.connection_parameters(folder)["host"])
    assert sockets == folder or not sockets.exists()


def test_libpq_variables_and_other_servers_do_not_interfere(
    folder: Path, initialized_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with embedded.running(folder):
        for name in ("PGHOST", "PGDATA", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGPASSFILE"):
            monkeypatch.setenv(name, str(folder))
        monkeypatch.setenv("PGPORT", "1")
        other, another = (copied(initialized_folder, tmp_path / f"other.{n}") for n in (1, 2))
        with embedded.running(other), embedded.running(another):
            assert execute(other, "SELECT 1") == 1
            assert execute_as_superuser(other, "SHOW data_directory") == str(other)
        assert execute_as_superuser(folder, "SHOW data_directory") == str(folder)
        assert running_postmaster(other) is None


def test_a_crash_of_all_processes_loses_no_commit(folder: Path) -> None:
    with held(folder) as holder:
        execute(folder, "CREATE TABLE kept AS SELECT 42 AS number")
        postmaster = running_postmaster(folder)
        assert postmaster
        postmaster.kill()
        holder.kill()
        holder.wait(PATIENCE)
    with embedded.running(folder):
        assert execute(folder, "SELECT number FROM kept") == 42
    assert running_postmaster(folder) is None


def test_a_server_that_dies_is_restarted(folder: Path) -> None:
    with embedded.running(folder):
        execute(folder, "CREATE TABLE kept AS SELECT 42 AS number")
        busy = psycopg2.connect(**embedded.connection_parameters(folder))
        with ThreadPoolExecutor() as threads:
            # This server process ends after its statement, and no server can start before that.
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
        wait_for(lambda: accepts_logins(folder))
        assert execute(folder, "SELECT number FROM kept") == 42
    assert running_postmaster(folder) is None


def test_a_stale_process_id_is_ignored(
    folder: Path, initialized_folder: Path, tmp_path: Path
) -> None:
    other = copied(initialized_folder, tmp_path / "other")
    with embedded.running(other):
        postmaster = running_postmaster(other)
        assert postmaster
        for number in (os.getpid(), postmaster.pid):
            (folder / "postmaster.pid").write_text(f"{number}\n{folder}\n")
            with embedded.running(folder):
                assert execute(folder, "SELECT 1") == 1
            assert running_postmaster(folder) is None
        assert execute(other, "SELECT 1") == 1


def test_the_server_of_a_killed_process_is_reused_and_stopped(folder: Path) -> None:
    with held(folder) as holder:
        holder.kill()
        holder.wait(PATIENCE)
        orphan = running_postmaster(folder)
        assert orphan
        with embedded.running(folder):
            assert running_postmaster(folder) == orphan
        assert running_postmaster(folder) is None


def test_the_last_process_stops_the_server(folder: Path) -> None:
    with held(folder) as first, held(folder) as second:
        leave(first)
        assert execute(folder, "SELECT 1") == 1
        leave(second)
        assert running_postmaster(folder) is None


def test_a_server_without_free_connections_is_shared(folder: Path) -> None:
    with embedded.running(folder, {"max_connections": "5"}), ExitStack() as connections:
        with pytest.raises(psycopg2.OperationalError, match="remaining connection slots"):
            for _ in range(5):
                connection = psycopg2.connect(**embedded.connection_parameters(folder))
                connections.enter_context(closing(connection))
        with held(folder):
            pass


def test_sigterm_stops_the_server_if_nothing_handles_it(folder: Path) -> None:
    with held(folder) as holder:
        holder.terminate()
        assert holder.wait(PATIENCE) == 128 + signal.SIGTERM
        assert running_postmaster(folder) is None


def test_the_data_folder_may_be_a_symbolic_link(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    (folder / "tracker.pgpass").unlink()
    with embedded.running(link):
        assert execute(link, "SELECT 1") == 1


def test_a_data_folder_in_use_is_not_deleted(folder: Path) -> None:
    with held(folder), pytest.raises(EmbeddedPostgresError, match="in use; stop the service"):
        embedded.delete(folder)
    embedded.delete(folder)
    embedded.delete(folder)
    assert not folder.exists()


def test_only_a_data_folder_is_deleted(folder: Path, tmp_path: Path) -> None:
    link, other = tmp_path / "link", tmp_path / "other"
    link.symlink_to(folder)
    other.mkdir()
    for path in (link, other):
        with pytest.raises(EmbeddedPostgresError, match="not a data folder of ours"):
            embedded.delete(path)
    assert (folder / "PG_VERSION").exists()
    assert other.exists()


def test_an_unfinished_data_folder_is_replaced(new_folder: Path) -> None:
    unfinished = new_folder.with_name("postgres.new")
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    with embedded.running(new_folder):
        assert execute(new_folder, "SELECT 1") == 1
    assert not unfinished.exists()


def test_missing_parent_folders_are_created_private(tmp_path: Path) -> None:
    folder = tmp_path / "instance" / "demo" / "postgres"
    with embedded.running(folder):
        assert execute(folder, "SELECT 1") == 1
    for parent in (folder.parent, folder.parent.parent):
        # As root the server's account traverses them, and can't list them.
        assert stat.S_IMODE(parent.stat().st_mode) == (0o701 if os.geteuid() == 0 else 0o700)


def test_data_of_another_version_are_not_touched(new_folder: Path) -> None:
    new_folder.mkdir()
    (new_folder / "PG_VERSION").write_text("9\n")
    with pytest.raises(EmbeddedPostgresError, match="was created by PostgreSQL 9, and") as caught:
        with embedded.running(new_folder):
            pass
    assert f"`DATABASE_URL=embedded:{new_folder} python3 tracker.py db dump" in str(caught.value)
    assert "`python3 tracker.py db restore" in str(caught.value)
    assert [path.name for path in new_folder.iterdir()] == ["PG_VERSION"]


@pytest.mark.parametrize("kind", ["folder", "file", "below a file"])
def test_other_files_are_kept_and_reported_in_one_line(new_folder: Path, kind: str) -> None:
    wanted = new_folder
    if kind == "folder":
        new_folder.mkdir()
        (new_folder / "thesis.tex").touch()
    else:
        new_folder.touch()
        wanted = new_folder if kind == "file" else new_folder / "postgres"
    with pytest.raises(EmbeddedPostgresError, match=str(new_folder)) as caught:
        with embedded.running(wanted):
            pass
    assert len(str(caught.value).splitlines()) == 1
    assert new_folder.is_file() or (new_folder / "thesis.tex").exists()


def test_a_failed_start_reports_the_reason(folder: Path) -> None:
    with (folder / "postgresql.conf").open("a") as settings:
        settings.write("nonsense = 1\n")
    with pytest.raises(EmbeddedPostgresError, match="FATAL: .*postgresql.conf.* contains errors"):
        with embedded.running(folder):
            pass


def test_a_lock_that_is_never_released_is_reported(
    new_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "LOCK_TIMEOUT", 0.2)
    with (new_folder.parent / "postgres.lock").open("a") as file, locks.exclusive(file):
        with pytest.raises(EmbeddedPostgresError, match=r"postgres\.lock .* stop that process"):
            with embedded.running(new_folder):
                pass
    assert not new_folder.exists()


def test_options_are_settings_of_the_server(folder: Path) -> None:
    with embedded.running(folder, {"work_mem": "8MB"}):
        assert execute(folder, "SHOW work_mem") == "8MB"
    with embedded.running(folder):
        assert execute(folder, "SHOW work_mem") == "4MB"


def test_without_a_folder_no_server_is_needed() -> None:
    with embedded.running(None):
        pass


@pytest.mark.parametrize("kind", ["link", "open to others"])
def test_a_socket_folder_of_another_user_is_refused(
    tmp_path: Path, initialized_folder: Path, kind: str
) -> None:
    folder = copied(initialized_folder, tmp_path / "a,b")
    sockets = Path(embedded.connection_parameters(folder)["host"])
    if kind == "link":
        sockets.symlink_to(tmp_path)
    else:
        sockets.mkdir()
        sockets.chmod(0o770)
    try:
        with pytest.raises(EmbeddedPostgresError, match=f"{sockets} .* remove it"):
            with embedded.running(folder):
                pass
    finally:
        sockets.unlink() if kind == "link" else sockets.rmdir()
