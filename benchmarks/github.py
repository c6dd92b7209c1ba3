"""Run GitHub's stand-in in a process of its own, so that its CPU time is not the service's."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tracker.demo.github import Fault, GitHub

KNOWN = 50  # repositories that the stand-in knows, besides the demo's


def repositories(number: int) -> list[dict[str, Any]]:
    """Return made-up repositories, in the format of the demo's."""
    languages = ("Python", "Go", "TypeScript", "Rust", "Java", None)
    return [
        {
            "id": 10_000_000 + n,
            "full_name": f"team-{n % 40:02}/service-{n:04}",
            "description": f"The service that does the work of desk {n}." if n % 9 else None,
            "homepage": None,
            "language": languages[n % 6],
            "stars": n * n % 5_000,
            "archived": n % 20 == 0,
            "license": "MIT",
            "topics": ["service"],
            "default_branch": "main",
            "created_at": "2019-03-01T08:00:00Z",
            "pushed_at": f"2026-0{1 + n % 9}-1{n % 10}T12:00:00Z",
        }
        for n in range(number)
    ]


@contextmanager
def running(delay: float = 0.0) -> Iterator[tuple[str, Callable[[], int]]]:
    """Run the stand-in for the time of the block; each response takes `delay` seconds.

    Yields its URL, and a function that returns the number of calls since it was last called.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.github", str(delay)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C would reach the whole process group
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin
    assert stdout

    def count() -> int:
        print(file=stdin, flush=True)
        return int(stdout.readline())

    with process:  # closes the pipe, which ends the process
        yield stdout.readline().strip(), count


def main(delay: float) -> None:
    """Serve until standard input closes; write the number of calls for each line read from it."""
    with GitHub() as github:
        github.repositories |= {each["full_name"]: each for each in repositories(KNOWN)}
        if delay:
            github.fault = Fault(delay=delay)
        print(github.url, flush=True)
        for _ in sys.stdin:
            with github.lock:
                number = len(github.calls)
                github.calls.clear()
            print(number, flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]))
