"""The command line: in this process as in pipes, and as a process on a terminal."""

import fcntl
import io
import logging
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from helpers import PATIENCE, ROOT, UNSET, Service
from tracker.cli.verbs import main
from tracker.demo.github import GitHub

Done = subprocess.CompletedProcess[str]
ALL = "/tasks?status=open&status=in_progress&status=done"


@contextmanager
def logging_kept() -> Iterator[None]:
    """Restore the tests' logging after a command that configures its own in this process."""
    root, ours = logging.getLogger(), logging.getLogger("tracker")
    handlers, level, our_level = root.handlers[:], root.level, ours.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        ours.setLevel(our_level)


class Tracker:
    """The command line beside a running service, with a journal of its own."""

    def __init__(self, service: Service, github: GitHub, home: Path) -> None:
        self.service, self.github, self.home = service, github, home
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TRACKER_CWD": str(home),
            "PYTHONWARNINGS": "error",
            "PORT": str(service.port),
            **UNSET,
            # Coverage measures the processes that a test starts, too.
            **{name: os.environ[name] for name in os.environ if name.startswith("COVERAGE_")},
        }

    def __call__(self, *words: str, typed: str = "", **variables: str) -> Done:
        """Run a verb in this process, with streams that are no terminal: no Python has to start."""
        given, out, err = (
            io.TextIOWrapper(io.BytesIO(text.encode()), "utf-8") for text in (typed, "", "")
        )
        with (
            patch.dict(os.environ, self.environment | variables, clear=True),
            patch.multiple(sys, stdin=given, stdout=out, stderr=err),
            logging_kept(),
        ):
            try:
                main("tracker", list(words))
            except SystemExit as end:
                code = end.code
        for stream in (out, err):
            stream.seek(0)
        assert isinstance(code, int)
        return Done(words, code, out.read(), err.read())

    def process(self, *words: str, typed: str = "", **variables: str) -> Done:
        """Run a command in pipes, as a process: it has a time zone and a browser of its own."""
        return subprocess.run(
            self.command(*words),
            cwd=ROOT,
            env=self.environment | variables,
            input=typed,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    @staticmethod
    def command(*words: str) -> list[str]:
        return [sys.executable, "-m", "tracker.cli", "tracker", *words]

    def add(self, *words: str) -> int:
        """Create a task, and return its id."""
        done = self("add", "-q", *words)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    def task(self, number: int) -> dict[str, Any]:
        task: dict[str, Any] = self.service.call("GET", f"/tasks/{number}").json()
        return task

    def on_terminal(
        self, *words: str, typed: str = "", columns: str = "80", **variables: str
    ) -> tuple[int, str]:
        """Run a command on a terminal; return its exit code and the text on the screen."""
        ours, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, int(columns), 0, 0))
        process = subprocess.Popen(
            self.command(*words),
            cwd=ROOT,
            env=self.environment | {"TERM": "xterm-256color", "NO_COLOR": "1"} | variables,
            stdin=its,
            stdout=its,
            stderr=its,
        )
        os.close(its)
        deadline = threading.Timer(PATIENCE, process.kill)  # of one that waits for more input
        deadline.start()
        os.write(ours, typed.encode())
        parts = []
        with suppress(OSError):  # Linux reports the end of a terminal as an error
            while part := os.read(ours, 65536):
                parts.append(part)
        os.close(ours)
        deadline.cancel()
        return process.wait(PATIENCE), b"".join(parts).decode(errors="replace").replace(
            "\r\n", "\n"
        )
