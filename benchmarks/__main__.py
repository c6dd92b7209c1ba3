"""Run the benchmarks from a fresh checkout: `python3 benchmarks`.

The first run creates benchmarks/.venv; later runs reuse it. Everything before the last part of
`main` uses the standard library only.
"""

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent
VENV = FOLDER / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11)
PARTS = ("peers", "growth", "waiting")
WORKLOADS = ("get", "not-modified", "page", "filtered", "search", "post", "patch")
CLIENTS = 16
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> None:
    """Run the parts that the command line asks for, in the benchmarks' own environment."""
    options = read_options()
    check_machine()
    if Path(sys.prefix) != VENV:
        create_environment()
        os.chdir(ROOT)
        os.execv(PYTHON, [str(PYTHON), "-m", "benchmarks", *sys.argv[1:]])
    for number in SIGNALS:
        signal.signal(number, stop)
    from benchmarks.failures import BenchmarkError

    try:
        run(options)
    except BenchmarkError as error:
        fail(str(error))


def run(options: argparse.Namespace) -> None:
    """Run the parts one after the other, and write a report for each."""
    from benchmarks import baseline, compare, growth, report, waiting
    from benchmarks.services import OURS, PEERS

    complete = options.only == list(WORKLOADS) and options.clients == CLIENTS
    folder = FOLDER / "results"
    if options.quick or not complete:
        folder /= "partial"
    folder.mkdir(parents=True, exist_ok=True)
    rounds, seconds = (1, 2) if options.quick else (options.rounds, options.seconds)
    tasks = 20_000 if options.quick else 100_000
    sizes = [1_000, 10_000, 40_000] if options.quick else [1_000, 100_000, 1_000_000]
    parts = [options.part] if options.part else PARTS
    with ExitStack() as stack:
        ours = [OURS]
        if options.baseline:
            ours.append(stack.enter_context(baseline.extracted(options.baseline)))
        if "peers" in parts:
            plan = compare.Plan(
                [*ours, *PEERS], options.only, options.clients, rounds, seconds, tasks
            )
            report.write_peers(plan, compare.run(plan), folder)
        if "growth" in parts:
            grown = growth.run(sizes, rounds=rounds, seconds=seconds)
            calls = growth.count_calls()
            report.write_growth(grown, calls, folder, rounds=rounds, seconds=seconds)
        if "waiting" in parts:
            waited = waiting.run(ours, rounds=rounds, seconds=seconds, tasks=tasks)
            report.write_waiting(ours, waited, folder, rounds=rounds, seconds=seconds)


def stop(number: int, _: object) -> None:
    """Exit, and let no further signal interrupt the code that stops every started process."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(128 + number)


def read_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python3 benchmarks", description="Measure the service; see benchmarks/README.md."
    )
    parser.add_argument("part", nargs="?", choices=PARTS, help="run one part (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument(
        "--seconds", type=int, default=5, help="seconds of each measurement (default: 5)"
    )
    parser.add_argument(
        "--only",
        type=parse_workloads,
        default=list(WORKLOADS),
        metavar="WORKLOAD,...",
        help=f"workloads of the part peers, of {', '.join(WORKLOADS)} (default: all)",
    )
    parser.add_argument(
        "--clients",
        type=parse_clients,
        default=CLIENTS,
        metavar="N",
        help=f"connections of the part peers (default: {CLIENTS}); 2 is one for each worker",
    )
    parser.add_argument(
        "--baseline",
        metavar="COMMIT",
        help="measure the service's code at this commit too (parts peers and waiting)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="check that everything runs; the numbers mean nothing"
    )
    return parser.parse_args()


def parse_workloads(text: str) -> list[str]:
    """Parse names of workloads, separated by commas."""
    names = text.split(",")
    if unknown := set(names) - set(WORKLOADS):
        raise argparse.ArgumentTypeError(f"unknown workload: {', '.join(sorted(unknown))}")
    return [workload for workload in WORKLOADS if workload in names]


def parse_clients(text: str) -> int:
    """Parse a number of clients; wrk needs one for each of its two threads."""
    if not text.isdecimal() or not 2 <= int(text) <= 1_000:
        raise argparse.ArgumentTypeError(f"must be a whole number from 2 to 1,000, not {text!r}")
    return int(text)


def check_machine() -> None:
    """Check the requirements that pip cannot install."""
    if sys.version_info < OLDEST:
        fail("the benchmarks need Python {}.{} or later".format(*OLDEST))
    if not sys.platform.startswith("linux"):
        fail("the benchmarks need Linux: they read memory as proportional set size (PSS)")
    if shutil.which("wrk") is None:
        fail("wrk is not installed; install it (Debian, Ubuntu: sudo apt install wrk)")


def create_environment() -> None:
    """Create benchmarks/.venv, unless it was created from the present requirements."""
    files = (FOLDER / "requirements.txt", ROOT / "requirements.txt")
    fingerprint = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    stamp = VENV / ".installed"
    if stamp.exists() and stamp.read_text() == fingerprint:
        return
    print(f"Creating the environment {VENV} ...", file=sys.stderr, flush=True)
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    # PostgreSQL refuses to run as root: another account must be able to read its binaries.
    mask = os.umask(0o022)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
        subprocess.run([*pip, "--requirement", str(files[0])], check=True)
    except subprocess.CalledProcessError as error:
        fail(f"creating {VENV} failed with exit code {error.returncode}; see the output above")
    os.umask(mask)
    stamp.write_text(fingerprint)


def fail(text: str) -> None:
    """Exit with a one-line error message."""
    sys.exit(f"error: {text}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:  # before the handlers are set
        sys.exit(130)
