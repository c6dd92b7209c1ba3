"""The account that runs the server for root, and the permissions of files and folders."""

import os
import pwd
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from data_folder import copied, execute, groups, running_postmaster
from marks import slow
from tracker.errors import EmbeddedPostgresError
from tracker.postgres import server as embedded
from tracker.postgres.account import PRIVATE_ACCOUNT
from tracker.postgres.binaries import binary

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(sys.platform != "linux", reason="reads the groups of a process from /proc"),
]

NAMELESS = 54321  # a user ID without a name on this machine


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def owners(folder: Path) -> set[int]:
    return {path.stat().st_uid for path in (folder, *folder.rglob("*"))}


def change_owner(folder: Path, uid: int, gid: int) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, gid)


def named_user() -> pwd.struct_passwd:
    return next(user for user in pwd.getpwall() if user.pw_name not in ("root", "nobody"))


def users_folder(tmp_path: Path, uid: int) -> Path:
    """Create a folder of the user in one that only root can enter."""
    private = tmp_path / "private"
    private.mkdir(0o700)
    theirs = private / "theirs"
    theirs.mkdir(0o700)
    os.chown(theirs, uid, uid)
    return theirs


def output_as_nobody(*command: str | Path) -> str:
    nobody = pwd.getpwnam("nobody")
    done = subprocess.run(
        command,
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        extra_groups=[],
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.stdout


def test_roots_server_has_an_account_of_its_own(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(0o700)
    folder = private / "postgres"
    with embedded.running(folder):
        postmaster = running_postmaster(folder)
        assert postmaster
        assert set(postmaster.uids()) == {PRIVATE_ACCOUNT.uid}
        assert groups(postmaster) == {PRIVATE_ACCOUNT.gid}
        assert owners(private) == {0, PRIVATE_ACCOUNT.uid}
        assert owners(folder) == {PRIVATE_ACCOUNT.uid}
    assert mode(folder) == 0o700
    assert mode(private) == 0o701


def test_nobody_reaches_neither_socket_nor_files_nor_process(running_folder: Path) -> None:
    login = (binary("psql"), "--host", running_folder, "--username", "postgres")
    assert "Permission denied" in output_as_nobody(*login)
    for name in ("tracker.pgpass", "pg_hba.conf"):
        assert "Permission denied" in output_as_nobody("cat", running_folder / name)
    postmaster = running_postmaster(running_folder)
    assert postmaster
    signal = ("sh", "-c", f"kill -0 {postmaster.pid}")
    assert "not permitted" in output_as_nobody(*signal)


@pytest.mark.parametrize("uid", [slow(named_user().pw_uid), NAMELESS], ids=["named", "nameless"])
def test_a_users_data_stay_the_users_when_root_starts_the_server(tmp_path: Path, uid: int) -> None:
    theirs = users_folder(tmp_path, uid)
    folder = theirs / "postgres"
    for _ in range(2):
        with embedded.running(folder):
            assert execute(folder, "SELECT 1") == 1
            assert owners(theirs) == {uid}
    assert mode(theirs.parent) == 0o701


def test_data_of_nobody_get_an_account_of_their_own(folder: Path, tmp_path: Path) -> None:
    with embedded.running(folder):
        execute(folder, "CREATE TABLE kept AS SELECT 42 AS number")
    nobody = pwd.getpwnam("nobody").pw_uid
    roots = tmp_path / "root's"
    roots.touch()
    change_owner(folder, nobody, 0)
    os.link(roots, folder / "hard link")
    with embedded.running(folder):
        assert execute(folder, "SELECT number FROM kept") == 42
    assert owners(folder) == {0, PRIVATE_ACCOUNT.uid}
    assert roots.stat().st_uid == 0


@pytest.mark.parametrize("name", ["postgres.lock", "postgres.users"])
def test_root_follows_no_link_in_place_of_a_lock_file(tmp_path: Path, name: str) -> None:
    theirs = users_folder(tmp_path, NAMELESS)
    roots = tmp_path / "root's"
    roots.touch()
    (theirs / name).symlink_to(roots)
    with pytest.raises(EmbeddedPostgresError, match=name):
        with embedded.running(theirs / "postgres"):
            pass
    assert owners(roots) == {0}


def test_root_follows_no_link_in_a_users_data_folder(
    tmp_path: Path, initialized_folder: Path
) -> None:
    folder = copied(initialized_folder, users_folder(tmp_path, NAMELESS) / "postgres")
    change_owner(folder, NAMELESS, NAMELESS)
    roots = tmp_path / "root's"
    roots.write_text("kept")
    for name in ("pg_hba.conf", "pg_hba.conf.new", "tracker.pgpass", "tracker.pgpass.new"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(roots)
    with embedded.running(folder):
        assert execute(folder, "SELECT 1") == 1
    assert roots.read_text() == "kept"
    assert owners(roots) == {0}
    assert owners(folder) == {NAMELESS}
