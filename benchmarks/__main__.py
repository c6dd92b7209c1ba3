"""Run the benchmarks from a fresh checkout: `python3 benchmarks`.

The first start makes benchmarks/.venv; a later one finds it there. Up to `main` this is standard
library only.
"""

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
VENV = FOLDER / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11)
WORKS = ("get", "not-modified", "page", "filtered", "search", "post", "patch")


def main() -> None:
    """Run what the command line asks for, in the environment of the benchmarks."""
    options = read_options()
    check_machine()
    if Path(sys.prefix) != VENV:
        make_environment()
        os.chdir(ROOT)
        os.execv(PYTHON, [str(PYTHON), "-m", "benchmarks", *sys.argv[1:]])
    from benchmarks import compare, growth, report

    # As Ctrl-C they end what this has started too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    partial = options.quick or options.only != list(WORKS)
    folder = FOLDER / "results" / ("partial" if partial else "")
    rounds, seconds = (1, 1) if options.quick else (options.rounds, options.seconds)
    if options.part != "growth":
        tasks = 10_000 if options.quick else 100_000
        turns = compare.run(options.only, rounds=rounds, seconds=seconds, tasks=tasks)
        report.write_peers(turns, folder, rounds=rounds, seconds=seconds, tasks=tasks)
    if options.part != "peers":
        sizes = [1_000, 10_000, 40_000] if options.quick else [1_000, 100_000, 1_000_000]
        grown = growth.run(sizes, rounds=rounds, seconds=seconds)
        calls = growth.count_calls()
        report.write_growth(grown, calls, folder, rounds=rounds, seconds=seconds)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python3 benchmarks", description="Measure the service; see benchmarks/README.md."
    )
    parser.add_argument(
        "part", nargs="?", choices=["peers", "growth"], help="one of the two parts (default: both)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each work is measured")
    parser.add_argument("--seconds", type=int, default=5, help="how long each time")
    parser.add_argument(
        "--only", type=known_works, default=list(WORKS), metavar="WORK,...", help=", ".join(WORKS)
    )
    parser.add_argument("--quick", action="store_true", help="see that it works, measure nothing")
    return parser.parse_args()


def known_works(text: str) -> list[str]:
    """Read the names of works, given with commas."""
    names = text.split(",")
    if unknown := set(names) - set(WORKS):
        raise argparse.ArgumentTypeError(f"no such work: {', '.join(sorted(unknown))}")
    return [work for work in WORKS if work in names]


def check_machine() -> None:
    """See that what pip does not install is there."""
    if sys.version_info < OLDEST:
        fail("Python {}.{} or later is needed for the benchmarks".format(*OLDEST))
    if not sys.platform.startswith("linux"):
        fail("Linux is needed: memory is read as the kernel shares it out (PSS)")
    if shutil.which("wrk") is None:
        fail("wrk is needed; install it (Debian, Ubuntu: sudo apt install wrk)")


def make_environment() -> None:
    """Make benchmarks/.venv, unless it has all that the requirements name."""
    files = (FOLDER / "requirements.txt", ROOT / "requirements.txt")
    fingerprint = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    stamp = VENV / ".installed"
    if stamp.exists() and stamp.read_text() == fingerprint:
        return
    print(f"Making an environment in {VENV}, once ...", file=sys.stderr, flush=True)
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    mask = os.umask(0o022)  # PostgreSQL refuses root: another account must read its programs
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
        subprocess.run([*pip, "--requirement", str(files[0])], check=True)
    except subprocess.CalledProcessError as error:
        fail(f"can't make the environment: exit code {error.returncode}")
    os.umask(mask)
    stamp.write_text(fingerprint)


def fail(text: str) -> None:
    """End with one line that says what to do."""
    sys.exit(f"error: {text}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
