"""The results as tables in Markdown, as a plot, and as raw numbers."""

import json
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import median

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from benchmarks import compare, growth
from benchmarks.github import FEW
from benchmarks.services import OURS, SERVICES, Service
from benchmarks.targets import (
    CALLS_PROCESSES,
    GROWTH_AIM,
    GROWTH_NEEDED,
    GROWTH_WORKS,
    TARGETS,
    Target,
)

TITLES = {service.name: service.title for service in SERVICES}
MEASURES = {
    "throughput": "requests/s",
    "p50": "p50, ms",
    "p99": "p99, ms",
    "cpu": "CPU per request, ms",
    "memory": "memory, MiB",
}
GREY = "#7d858e"  # to be read on white and on black
COLOURS = {
    "original": "#4184e4",
    "tuned": "#c69026",
    "rest_framework": "#57ab5a",
    "statement": "#b083f0",
    "floor": "#8f8f8f",
}


class Comparison:
    """The turns of the part "peers", looked at by work, service and measure."""

    def __init__(self, turns: Sequence[compare.Turn]) -> None:
        self._loads = {(turn.work, turn.service, turn.round): turn.load for turn in turns}
        self.works = list(dict.fromkeys(turn.work for turn in turns))
        self.rounds = sorted({turn.round for turn in turns})

    def services(self, work: str) -> list[Service]:
        """Give the services that the work was measured with."""
        return [s for s in SERVICES if (work, s.name, self.rounds[0]) in self._loads]

    def typical(self, work: str, service: str, measure: str) -> float:
        """Give the median over the rounds."""
        return median(self._value(work, service, number, measure) for number in self.rounds)

    def ratio(self, work: str, peer: str, measure: str) -> float:
        """Give the median over the rounds of ours by the peer's, in each round side by side."""
        return median(
            self._value(work, OURS.name, number, measure) / self._value(work, peer, number, measure)
            for number in self.rounds
        )

    def memory(self, service: str) -> float:
        """Give the memory under the work that takes the most."""
        return max(self.typical(work, service, "memory") for work in self.works)

    def meets(self, target: Target) -> float | None:
        """Give the ratio that the target is about, if it was measured."""
        if target.work is None:
            return self.memory(OURS.name) / self.memory(target.peer)
        if target.work not in self.works:
            return None
        return self.ratio(target.work, target.peer, target.measure)

    def _value(self, work: str, service: str, number: int, measure: str) -> float:
        return float(getattr(self._loads[work, service, number], measure))


def write_peers(
    turns: Sequence[compare.Turn], folder: Path, *, rounds: int, seconds: int, tasks: int
) -> None:
    """Write what the part "peers" has measured."""
    comparison = Comparison(turns)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "peers.json").write_text(
        json.dumps([asdict(turn) for turn in turns], indent=1) + "\n"
    )
    text = "\n\n".join(
        [
            "# Beside other ways to build it",
            f"Medians of {rounds} rounds of {seconds} s, 16 clients, 2 worker processes each, "
            f"{tasks:,} tasks. “Ours ÷” is the median of the rounds' ratios. {_machine()}",
            _table(
                ("work", "service", *MEASURES.values(), "ours ÷, requests/s"), _rows(comparison)
            ),
            "## Targets",
            _table(
                ("ours ÷ peer's", "work", "peer", "needed", "aim", "measured", ""),
                _verdicts(comparison),
            ),
        ]
    )
    (folder / "peers.md").write_text(text + "\n")
    plot(comparison, folder / "peers.svg")
    print(f"\n{text}\n\nWritten to {folder}", flush=True)


def write_growth(
    turns: Sequence[growth.Turn],
    calls: Sequence[growth.Calls],
    folder: Path,
    *,
    rounds: int,
    seconds: int,
) -> None:
    """Write what the part "growth" has measured."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n\n".join(
        [
            "# As the tasks grow",
            f"Medians of {rounds} rounds of {seconds} s, 16 clients, 2 worker processes. “Slower” "
            "is the median of the rounds' ratios, in requests/s, to the fewest tasks, which have "
            f"no page {growth.FAR:,}: their first page stands for it. {_machine()}",
            _table(
                ("work", "tasks", "requests/s", "p50, ms", "CPU per request, ms", "slower", ""),
                _growth_rows(turns),
            ),
            "## Calls to GitHub",
            f"For {growth.CREATES:,} creations on {FEW} repositories by 16 clients at once, and "
            "for as many again.",
            _table(("processes", "first", "again", ""), _calls_rows(calls)),
        ]
    )
    (folder / "growth.md").write_text(text + "\n")
    print(f"\n{text}\n\nWritten to {folder}", flush=True)


def plot(comparison: Comparison, path: Path) -> None:
    """Draw how many times as many requests ours answers as each peer."""
    # Words stay words, in the reader's own font.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "peers", "font.size": 11})
    bars = [
        (work, service.name, comparison.ratio(work, service.name, "throughput"))
        for work in comparison.works
        for service in comparison.services(work)
        if service is not OURS
    ]
    figure = Figure(figsize=(8, 0.6 + 0.26 * (len(bars) + len(comparison.works))))
    axes = figure.subplots()
    place = 0
    places: dict[str, list[int]] = {}
    labelled = set()
    for work, peer, ratio in bars:
        if work not in places:
            place, places[work] = place + 1, []
        label = None if peer in labelled else TITLES[peer]
        labelled.add(peer)
        axes.barh(place, ratio - 1, left=1, height=0.8, color=COLOURS[peer], label=label)
        axes.text(max(ratio, 1) * 1.05, place, f"{ratio:.1f}", va="center", color=GREY)
        places[work].append(place)
        place += 1
    low = min([0.5, *(ratio * 0.9 for *_, ratio in bars)])
    high = max(ratio for *_, ratio in bars) * 1.6
    axes.set(xscale="log", xlim=(low, high), ylim=(place, 0))
    ticks = [tick for tick in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500) if low <= tick <= high]
    axes.xaxis.set(major_locator=FixedLocator(ticks), minor_locator=NullLocator())
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([sum(each) / len(each) for each in places.values()], list(places))
    axes.axvline(1, color=GREY, linewidth=1.2)
    axes.grid(axis="x", color=GREY, alpha=0.25)
    axes.set_axisbelow(True)
    axes.tick_params(colors=GREY, length=0)
    axes.spines[:].set_visible(False)
    axes.set_title("Requests/s of this service ÷ those of", color=GREY, loc="left", pad=50)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=3,
        borderaxespad=0.3,
        handlelength=1.2,
        frameon=False,
        labelcolor=GREY,
    )
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None})


def _machine() -> str:
    names = ("gunicorn", "flask", "fastapi", "sqlmodel", "uvicorn", "django", "djangorestframework")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return f"{os.cpu_count()} cores, CPython {platform.python_version()}, {versions}."


def _rows(comparison: Comparison) -> Iterable[list[str]]:
    for work in comparison.works:
        for service in comparison.services(work):
            values = [comparison.typical(work, service.name, measure) for measure in MEASURES]
            ratio = comparison.ratio(work, service.name, "throughput")
            forms = (".0f", ".1f", ".1f", ".2f", ".0f")
            yield [
                work,
                service.title,
                *map(format, values, forms),
                "" if service is OURS else f"{ratio:.2f}",
            ]


def _verdicts(comparison: Comparison) -> Iterable[list[str]]:
    for target in TARGETS:
        ratio = comparison.meets(target)
        if ratio is None:
            continue
        sign = "<" if target.below else "≥"
        yield [
            MEASURES[target.measure].partition(",")[0],
            target.work or "all",
            TITLES[target.peer],
            f"{sign} {target.needed:g}",
            "" if target.aim is None else f"{sign} {target.aim:g}",
            f"{ratio:.2f}",
            _verdict(target.reached(ratio)),
        ]


def _growth_rows(turns: Sequence[growth.Turn]) -> Iterable[list[str]]:
    loads = {(turn.work, turn.tasks, turn.round): turn.load for turn in turns}
    works, sizes, rounds = (list(dict.fromkeys(each)) for each in zip(*loads, strict=True))

    names = {
        "first-page": "page 1",
        "far-page": f"page {growth.FAR:,}",
        "short-search": "search for 5 tasks",
    }

    def over_rounds(value: Callable[[int], float]) -> float:
        return median(map(value, rounds))

    for work in works:
        for size in sizes:
            slower = over_rounds(
                lambda n: loads[work, sizes[0], n].throughput / loads[work, size, n].throughput  # noqa: B023
            )
            counts = work in GROWTH_WORKS and size == sizes[-1]
            verdict = (
                f"{_verdict(slower <= GROWTH_NEEDED)} (≤ {GROWTH_NEEDED:g}, aim {GROWTH_AIM:g})"
            )
            yield [
                names.get(work, work),
                f"{size:,}",
                f"{over_rounds(lambda n: loads[work, size, n].throughput):.0f}",  # noqa: B023
                f"{over_rounds(lambda n: loads[work, size, n].p50):.1f}",  # noqa: B023
                f"{over_rounds(lambda n: loads[work, size, n].cpu):.2f}",  # noqa: B023
                f"{slower:.2f}",
                verdict if counts else "",
            ]


def _calls_rows(calls: Sequence[growth.Calls]) -> Iterable[list[str]]:
    for each in calls:
        good = each.cold <= FEW and each.warm == 0
        yield [
            str(each.processes),
            str(each.cold),
            str(each.warm),
            f"{_verdict(good)} ({CALLS_PROCESSES[each.processes]}: {FEW} and 0)",
        ]


def _verdict(reached: bool) -> str:
    return "reached" if reached else "**missed**"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [list(head), *map(list, rows)]
    numeric = [
        all(cell[:1].isdigit() or not cell for cell in each)
        for each in zip(*lines[1:], strict=True)
    ]
    lines.insert(1, ["---:" if right else "---" for right in numeric])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
