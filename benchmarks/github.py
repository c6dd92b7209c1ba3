"""GitHub's stand-in as a process of its own, whose CPU time is nobody's but its own."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tracker.demo.github import GitHub

FEW = 50  # repositories that the stand-in knows, besides the demo's


def repositories(number: int) -> list[dict[str, Any]]:
    """Make up so many repositories, in the form of the demo's."""
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
def running() -> Iterator[tuple[str, Callable[[], int]]]:
    """Give the stand-in's URL, and a function to count the calls since it was last asked."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.github"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches the whole group
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin
    assert stdout

    def count() -> int:
        print(file=stdin, flush=True)
        return int(stdout.readline())

    with process:  # closes the pipe, which ends it
        yield stdout.readline().strip(), count


def main() -> None:
    """Serve until standard input closes, and answer each line of it with the number of calls."""
    with GitHub() as github:
        github.repositories |= {each["full_name"]: each for each in repositories(FEW)}
        print(github.url, flush=True)
        for _ in sys.stdin:
            with github.lock:
                number = len(github.calls)
                github.calls.clear()
            print(number, flush=True)


if __name__ == "__main__":
    main()
