"""gunicorn's master: when it stops, what it reloads, and the configuration that it needs."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from helpers import (
    GUNICORN,
    PATIENCE,
    ROOT,
    UNSET,
    Service,
    copy_project,
    free_port,
    is_alive,
    members,
    started,
    wait_for,
    workers,
)
from marks import slow
from tracker import master

# Leads a session, as a terminal's program does, with the terminal on its standard input.
LEADER = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


class Terminal:
    """A terminal with one program, which leads its session."""

    def __init__(self, command: list[str], environment: dict[str, str], output: Path) -> None:
        self._terminal, other = os.openpty()
        port = free_port()
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", LEADER, *command],
                cwd=ROOT,
                env={"WEB_CONCURRENCY": "1", **UNSET, **environment, "PORT": str(port)},
                stdin=other,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        os.close(other)
        self.service = Service(process, port, output)

    def type(self, line: str) -> None:
        os.write(self._terminal, f"{line}\n".encode())

    def processes(self) -> list[psutil.Process]:
        """Return the processes in the terminal, and the embedded database."""
        leader = psutil.Process(self.service.process.pid)
        found = [leader, *leader.children(recursive=True)]
        return found + members(-1, self.service.output.parent)

    def close(self) -> None:
        os.close(self._terminal)


@contextmanager
def terminal(
    command: list[str], environment: dict[str, str], output: Path
) -> Iterator[tuple[Terminal, list[psutil.Process]]]:
    """Open a terminal; kill what is left of it, and of the processes in the list, at the end."""
    opened = Terminal(command, environment, output)
    seen: list[psutil.Process] = []
    try:
        yield opened, seen
    finally:
        for process in {*seen, *members(opened.service.process.pid, output.parent)}:
            if process.is_running():
                process.kill()
        opened.service.process.wait(PATIENCE)


def ended(processes: list[psutil.Process]) -> bool:
    return not any(map(is_alive, processes))


@pytest.mark.parametrize("shell", [None, slow("sh"), slow("bash")])
def test_closing_the_terminal_stops_everything(
    embedded_environment: dict[str, str], output: Path, shell: str | None
) -> None:
    if shell and not shutil.which(shell):
        pytest.skip(f"needs {shell}")
    environment = {**embedded_environment, "HOME": str(output.parent), "HISTFILE": ""}
    command = [shell, "-i"] if shell else [*GUNICORN]
    with terminal(command, environment, output) as (opened, seen):
        if shell:
            opened.type(shlex.join(GUNICORN))
        wait_for(opened.service.answers)
        seen += opened.processes()
        assert {"postgres"} < {process.name() for process in seen}
        opened.close()
        wait_for(lambda: opened.service.process.poll() is not None and ended(seen))


@pytest.mark.slow
def test_closing_the_terminal_during_a_start_leaves_nothing(
    embedded_environment: dict[str, str], output: Path
) -> None:
    with terminal([*GUNICORN], embedded_environment, output) as (opened, seen):
        wait_for((output.parent / "postgres" / "postmaster.pid").exists)
        seen += opened.processes()
        opened.close()
        wait_for(lambda: opened.service.process.poll() is not None and ended(seen))
        assert not members(-1, output.parent)


@pytest.mark.parametrize("how", [slow("open"), "nohup"])
def test_sighup_reloads_where_no_terminal_has_closed(
    environment: dict[str, str], output: Path, how: str
) -> None:
    command = [*GUNICORN] if how == "open" else ["nohup", *GUNICORN]
    with terminal(command, environment, output) as (opened, seen):
        service = opened.service
        wait_for(lambda: service.answers() and bool(workers(service)))
        first = workers(service)
        seen += opened.processes()
        if how == "nohup":
            opened.close()  # which sends it
        else:
            service.process.send_signal(signal.SIGHUP)
        wait_for(lambda: bool(workers(service)) and not set(first) & set(workers(service)))
        seen += opened.processes()
        assert service.answers()


@pytest.mark.slow  # tests/test_secret_files.py has a reload with a wrong setting
def test_a_reload_with_a_wrong_setting_keeps_the_old_ones(
    environment: dict[str, str], output: Path, tmp_path: Path
) -> None:
    project = copy_project(tmp_path / "project")
    dotenv = project / ".env"
    base = environment.pop("GITHUB_API_BASE")
    dotenv.write_text(f"GITHUB_API_BASE={base}\n")
    with started(GUNICORN, {**environment, "WEB_CONCURRENCY": "1"}, output, project) as service:
        wait_for(service.answers)
        for line, number in [
            ("GITHUB_API_BASE=no", signal.SIGHUP),
            ("GITHUB_API_BASE=no", signal.SIGKILL),
            ('API_TOKEN="hunter2', signal.SIGHUP),
        ]:
            first = workers(service)
            dotenv.write_text(f"{line}\n")
            target = service.process if number == signal.SIGHUP else first[0]
            target.send_signal(number)
            wait_for(lambda: bool(workers(service)) and not set(first) & set(workers(service)))  # noqa: B023
            wait_for(service.answers)
            assert service.post("pallets/flask").status_code == 201
        assert "Reload failed, the old settings stay: GITHUB_API_BASE takes" in service.log
        assert "Reload failed, the old settings stay: .env, line 1 has a quote" in service.log
        assert "hunter2" not in service.log
        first = workers(service)
        dotenv.write_text(f"GITHUB_API_BASE=http://127.0.0.1:{free_port()}\n")
        service.process.send_signal(signal.SIGHUP)
        wait_for(lambda: bool(workers(service)) and not set(first) & set(workers(service)))
        wait_for(service.answers)
        assert service.post("git/git").status_code == 502


@pytest.mark.parametrize("name", ["HOST", "PORT", "DATABASE_URL"])
def test_what_the_master_opens_needs_a_restart(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"HOST": "0.0.0.0", "PORT": "9000", "DATABASE_URL": f"embedded:{tmp_path}"}
    monkeypatch.setattr(master, "settings", None)
    monkeypatch.setenv(name, "")
    old = master.reload_settings()
    monkeypatch.setenv(name, values[name])
    messages: list[str] = []
    monkeypatch.setattr(master.logger, "error", lambda text, *args: messages.append(text % args))
    assert master.reload_settings() is old
    assert messages == [
        f"Reload failed, the old settings stay: {name} can't change without a restart"
    ]


@pytest.mark.parametrize(
    "words",
    [slow("--chdir {root}"), slow("--pythonpath {root}"), "-c {own} --chdir {root}"],
)
def test_a_start_without_our_configuration_is_refused(
    environment: dict[str, str], tmp_path: Path, words: str
) -> None:
    (tmp_path / "own.py").touch()
    options = words.format(root=ROOT, own=tmp_path / "own.py").split()
    done = run(["--bind", "127.0.0.1:0", *options], environment, tmp_path)
    assert done.returncode == 4
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "did not load our gunicorn.conf.py" in line
    assert f"cd {ROOT} && gunicorn wsgi:app" in line


def test_another_worker_class_is_refused(environment: dict[str, str]) -> None:
    done = run(["--worker-class", "sync"], environment, ROOT)
    assert done.returncode == 1
    assert "error: only the worker class tracker.worker.Worker serves" in done.stderr


def run(
    options: list[str], environment: dict[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Run gunicorn in a folder until it exits."""
    return subprocess.run(
        [*GUNICORN, *options],
        cwd=folder,
        env={**UNSET, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
