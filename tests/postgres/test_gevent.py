"""The embedded server in a process that gevent has patched, such as gunicorn's master."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data_folder import (
    PATIENCE,
    accepts_logins,
    execute,
    groups,
    leave,
    running_postmaster,
    started,
)
from helpers import wait_for
from tracker.postgres import locks
from tracker.postgres import server as embedded

# The parent forks children at the given moment of a restart. All of them go on with their
# greenlets, and the children end through the end of the block, as gunicorn's workers do.
FORKS = """
from gevent import monkey
monkey.patch_all()
import json, logging, os, select, signal, subprocess, sys, time
from pathlib import Path
import gevent, psutil
from tracker.postgres import postmaster, server as embedded

folder, moment = Path(sys.argv[1]), sys.argv[2]
sys.stderr = Path(sys.argv[3]).open("a", buffering=1)
logging.basicConfig(format="%(process)d %(message)s")
parent = os.getpid()

children = []
block = monkey.get_original("time", "sleep")

def fork():
    child = os.fork()
    if child == 0:
        subprocess.Popen = lambda *_, **__: print("child starts a program", file=sys.stderr)
        if signal.pthread_sigmask(signal.SIG_BLOCK, ()):
            print("child has blocked signals", file=sys.stderr)
        time.sleep(3)
        sys.exit()
    children.append(child)

def pid():
    return int((folder / "postmaster.pid").read_text().split()[0])

with embedded.running(folder):
    first = pid()
    for _ in range(2 if moment == "before" else 0):
        fork()
    psutil.Process(first).kill()
    if moment == "during":
        while "restarting" not in Path(sys.argv[3]).read_text():
            time.sleep(0.001)
        for _ in range(8):
            # While this greenlet sleeps, the process is blocked and a program of the restart
            # ends. So the restart is about to go on when the process forks.
            gevent.spawn(block, 0.1)
            time.sleep(0.05)
            fork()
    while not postmaster.is_running(folder) or pid() == first:
        time.sleep(0.05)
    second = pid()
    for child in children:
        os.waitpid(child, 0)
    print(json.dumps({"parent": parent, "second": second, "last": pid()}), flush=True)
    select.select([sys.stdin], [], [])
"""

# The parent gets the exit status of every child, as gunicorn's master does.
REAPS = """
from gevent import monkey
monkey.patch_all()
import os, select, sys
from pathlib import Path
import gevent
from tracker.postgres import server as embedded

def reap():
    while True:
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            pass
        gevent.sleep(0.001)

with embedded.running(Path(sys.argv[1])):
    gevent.spawn(reap)
    print("up", flush=True)
    select.select([sys.stdin], [], [])
"""

# The parent prints the longest time for which its other greenlets did not run.
TICKS = """
from gevent import monkey
monkey.patch_all()
import select, sys, time
from pathlib import Path
import gevent
from tracker.postgres import server as embedded

longest = 0

def tick():
    global longest
    while True:
        before = time.monotonic()
        gevent.sleep(0.01)
        longest = max(longest, time.monotonic() - before)

with embedded.running(Path(sys.argv[1])):
    gevent.spawn(tick)
    print("up", flush=True)
    select.select([sys.stdin], [], [])
    print(longest, flush=True)
"""

# A child leaves a block in which its parent holds a lock.
LEAVES = """
import fcntl, os, sys
from tracker.postgres.locks import exclusive

with open(sys.argv[1], "a") as file, open(sys.argv[1], "a") as other:
    with exclusive(file):
        child = os.fork()
        if child == 0:
            sys.exit()
        os.waitpid(child, 0)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("still locked")
"""


@pytest.mark.parametrize("moment", ["before", "during"])
def test_only_the_parent_restarts_the_server(folder: Path, tmp_path: Path, moment: str) -> None:
    log = tmp_path / "log"
    with started(FORKS, str(folder), moment, str(log)) as process:
        assert process.stdout
        seen = json.loads(process.stdout.readline())
        assert log.read_text() == f"{seen['parent']} PostgreSQL has died; restarting it\n"
        assert seen["second"] == seen["last"]
        wait_for(lambda: accepts_logins(folder))
        with embedded.running(folder):  # nothing holds the lock
            leave(process)
            assert execute(folder, "SELECT 1") == 1
    assert running_postmaster(folder) is None


def test_a_forked_process_does_not_release_a_lock(tmp_path: Path) -> None:
    with started(LEAVES, str(tmp_path / "lock")) as process:
        assert process.communicate(timeout=PATIENCE)[0] == "still locked\n"


def test_a_lost_exit_status_does_not_end_restarts(folder: Path) -> None:
    with started(REAPS, str(folder)) as process:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        for _ in range(2):
            kill_and_await_restart(folder)
        leave(process)
    assert running_postmaster(folder) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.skipif(sys.platform != "linux", reason="reads the groups of a process from /proc")
def test_a_restarted_server_is_not_in_roots_group(folder: Path) -> None:
    with started(TICKS, str(folder), extra_groups=[0]) as process:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        kill_and_await_restart(folder)
        postmaster = running_postmaster(folder)
        assert postmaster
        assert groups(postmaster) == {folder.stat().st_gid}


def test_other_greenlets_run_while_a_restart_waits(folder: Path) -> None:
    with started(TICKS, str(folder)) as process:
        assert process.stdout
        assert process.stdin
        assert process.stdout.readline() == "up\n"
        with folder.with_name("postgres.lock").open("a") as file, locks.exclusive(file):
            postmaster = running_postmaster(folder)
            assert postmaster
            postmaster.kill()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1.5)
        wait_for(lambda: running_postmaster(folder) not in (None, postmaster))
        process.stdin.write("\n")
        process.stdin.flush()
        assert float(process.stdout.readline()) < 1
        process.wait(PATIENCE)


def test_sigterm_stops_the_server_of_a_patched_process(folder: Path) -> None:
    with started(TICKS, str(folder)) as process:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        process.terminate()
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM
    assert running_postmaster(folder) is None


def kill_and_await_restart(folder: Path) -> None:
    postmaster = running_postmaster(folder)
    assert postmaster
    postmaster.kill()
    wait_for(lambda: running_postmaster(folder) not in (None, postmaster))
    wait_for(lambda: (folder / "postmaster.pid").read_text().rstrip().endswith("ready"))
