"""Write the reports: tables in Markdown, raw numbers as JSON, and a plot."""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from benchmarks import compare, growth, plot, tables, waiting
from benchmarks.comparison import Comparison
from benchmarks.crowd import CREATORS, SLOW
from benchmarks.github import KNOWN
from benchmarks.load import CLIENTS
from benchmarks.services import WORKERS, Service

PACKAGES = (
    *("gunicorn", "gevent", "flask", "fastapi", "sqlmodel", "uvicorn"),
    *("django", "djangorestframework"),
)


def write_peers(
    plan: compare.Plan, measurements: Sequence[compare.Measurement], folder: Path
) -> None:
    """Write the report of the part "peers"."""
    comparison = Comparison(plan, measurements)
    judged = list(tables.targets(comparison))
    (folder / "peers.json").write_text(_json(measurements))
    plot.draw(comparison, folder / "peers.svg")
    _write(
        folder / "peers.md",
        "# Beside other designs",
        f"Medians of {plan.rounds} rounds of {plan.seconds} s, {plan.clients} clients, "
        f"{WORKERS} worker processes each, {plan.tasks:,} tasks. {_machine()}",
        _table(tables.PEERS, tables.peers(comparison)),
        "## Ours ÷ the peer's",
        "Medians of the rounds' ratios. Requests/s unless a column says p99 or memory.",
        _table(tables.ratio_columns(plan), tables.ratios(comparison)),
        "## Targets",
        _table(tables.TARGETS, judged) if judged else "None for these workloads and clients.",
    )


def write_growth(
    measurements: Sequence[growth.Measurement],
    calls: Sequence[growth.Calls],
    folder: Path,
    *,
    rounds: int,
    seconds: int,
) -> None:
    """Write the report of the part "growth"."""
    _write(
        folder / "growth.md",
        "# As the number of tasks grows",
        f"Medians of {rounds} rounds of {seconds} s, {CLIENTS} clients, {WORKERS} worker "
        "processes. “Slower” is the median of the rounds' ratios of requests/s: with the fewest "
        f"tasks ÷ with this many. The fewest tasks have no page {growth.FAR_PAGE:,}; their first "
        f"page stands in for it. {_machine()}",
        _table(tables.GROWTH, tables.growth_rows(measurements)),
        "## Calls to GitHub",
        f"For {growth.CREATIONS:,} creations on {KNOWN} repositories by {CLIENTS} clients at "
        "once, and for as many again.",
        _table(tables.CALLS, tables.calls(calls)),
    )


def write_waiting(
    services: Sequence[Service],
    measurements: Sequence[waiting.Measurement],
    folder: Path,
    *,
    rounds: int,
    seconds: int,
) -> None:
    """Write the report of the part "waiting"."""
    (folder / "waiting.json").write_text(_json(measurements))
    _write(
        folder / "waiting.md",
        "# While other clients wait",
        f"Medians of {rounds} rounds of {seconds} s, {WORKERS} worker processes. {CLIENTS} clients "
        f"read tasks: alone, then while {CREATORS} clients wait for creations, because GitHub is "
        f"silent, and {SLOW:,} clients send one byte per second. Memory is the growth for each of "
        f"these {waiting.CLIENTS:,} connections. {_machine()}",
        _table(tables.WAITING, tables.waiting_rows(services, measurements)),
        "## Targets",
        _table(tables.WAITING_TARGETS, tables.waiting_targets(measurements)),
    )


def _write(path: Path, *paragraphs: str) -> None:
    text = "\n\n".join(paragraphs)
    path.write_text(text + "\n")
    print(f"\n{text}\n\nWritten to {path}", flush=True)


def _json(measurements: Sequence[compare.Measurement | waiting.Measurement]) -> str:
    return json.dumps([asdict(each) for each in measurements], indent=1) + "\n"


def _machine() -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{os.cpu_count()} cores, CPython {platform.python_version()}, {versions}."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    numeric = [
        all(cell[:1].isdigit() or not cell for cell in column)
        for column in zip(*lines[1:], strict=True)
    ]
    lines.insert(1, ["---:" if right else "---" for right in numeric or [False] * len(head)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
