"""The rows of the reports' tables."""

from collections.abc import Callable, Iterator, Sequence
from statistics import median

from benchmarks import growth, waiting
from benchmarks.compare import Plan
from benchmarks.comparison import Comparison
from benchmarks.github import KNOWN
from benchmarks.services import OURS, Service
from benchmarks.targets import (
    CALLS_PROCESSES,
    GROWTH_AIM,
    GROWTH_NEEDED,
    GROWTH_WORKLOADS,
    WAITING_MEMORY,
    WAITING_THROUGHPUT,
    Target,
)
from benchmarks.targets import TARGETS as PEERS_TARGETS

MEASURES = {  # a field of LoadResult: its column, and its format
    "throughput": ("requests/s", ".0f"),
    "p50": ("p50, ms", ".1f"),
    "p99": ("p99, ms", ".1f"),
    "cpu": ("CPU per request, ms", ".2f"),
    "memory": ("memory, MiB", ".0f"),
}
PEERS = ("workload", "service", *(column for column, _ in MEASURES.values()))
TARGETS = ("ours ÷ peer's", "workload", "peer", "needed", "aim", "measured", "")
GROWTH = ("workload", "tasks", "requests/s", "p50, ms", "CPU per request, ms", "slower", "")
CALLS = ("processes", "first", "again", "")
WAITING = (
    "service",
    *("reads/s alone", "reads/s crowded", "crowded ÷ alone"),
    *("p99 alone, ms", "p99 crowded, ms", "failed reads", "connections accepted"),
    *("memory alone, MiB", "KiB per connection", "creations waiting", "responses to creations"),
)
WAITING_TARGETS = ("target", "needed", "measured", "")


def peers(comparison: Comparison) -> Iterator[list[str]]:
    """Return a row for each workload and service."""
    for workload in comparison.plan.workloads:
        for service in comparison.services(workload):
            values = (
                format(comparison.typical(workload, service.name, measure), form)
                for measure, (_, form) in MEASURES.items()
            )
            yield [workload, service.title, *values]


def ratio_columns(plan: Plan) -> list[str]:
    """Return the columns of `ratios`."""
    titles = (service.title for service in plan.services if service is not OURS)
    return ["workload", *titles, "p99: original design", "memory: original design"]


def ratios(comparison: Comparison) -> Iterator[list[str]]:
    """Return a row of ratios for each workload."""
    others = [service.name for service in comparison.plan.services if service is not OURS]
    for workload in comparison.plan.workloads:
        pairs = [*((name, "throughput") for name in others)]
        pairs += [("original", "p99"), ("original", "memory")]
        yield [workload, *(_ratio(comparison.ratio(workload, *pair)) for pair in pairs)]


def targets(comparison: Comparison) -> Iterator[list[str]]:
    """Return a row for each target whose ratio was measured."""
    titles = {service.name: service.title for service in comparison.plan.services}
    for target in PEERS_TARGETS:
        ratio = comparison.target_ratio(target)
        if ratio is None:
            continue
        yield [
            MEASURES[target.measure][0].partition(",")[0],
            target.workload or "all",
            titles[target.peer],
            _bound(target, target.needed),
            "" if target.aim is None else _bound(target, target.aim),
            _ratio(ratio),
            _verdict(target.reached(ratio)),
        ]


def growth_rows(measurements: Sequence[growth.Measurement]) -> Iterator[list[str]]:
    """Return a row for each workload and number of tasks."""
    results = {(each.workload, each.tasks, each.round): each.result for each in measurements}
    workloads, sizes, rounds = (list(dict.fromkeys(each)) for each in zip(*results, strict=True))
    names = {
        "first-page": "page 1",
        "far-page": f"page {growth.FAR_PAGE:,}",
        "short-search": "search for 5 tasks",
    }
    for workload in workloads:
        fewest = [results[workload, sizes[0], number].throughput for number in rounds]
        for size in sizes:
            found = [results[workload, size, number] for number in rounds]
            slower = median(
                first / each.throughput for first, each in zip(fewest, found, strict=True)
            )
            judged = workload in GROWTH_WORKLOADS and size == sizes[-1]
            yield [
                names.get(workload, workload),
                f"{size:,}",
                f"{median(each.throughput for each in found):.0f}",
                f"{median(each.p50 for each in found):.1f}",
                f"{median(each.cpu for each in found):.2f}",
                f"{slower:.2f}",
                f"{_verdict(slower <= GROWTH_NEEDED)} (≤ {GROWTH_NEEDED:g}, aim {GROWTH_AIM:g})"
                if judged
                else "",
            ]


def calls(counted: Sequence[growth.Calls]) -> Iterator[list[str]]:
    """Return a row for each number of processes."""
    for each in counted:
        reached = each.first <= KNOWN and each.again == 0
        yield [
            str(each.processes),
            str(each.first),
            str(each.again),
            f"{_verdict(reached)} ({CALLS_PROCESSES[each.processes]}: {KNOWN} and 0)",
        ]


def waiting_rows(
    services: Sequence[Service], measurements: Sequence[waiting.Measurement]
) -> Iterator[list[str]]:
    """Return a row for each service."""
    for service in services:
        found = [each for each in measurements if each.service == service.name]

        def typical(
            value: Callable[[waiting.Measurement], float],
            found: Sequence[waiting.Measurement] = found,
        ) -> float:
            return median(map(value, found))

        statuses = sorted({status for each in found for status in each.statuses})
        yield [
            service.title,
            f"{typical(lambda each: each.alone.throughput):.0f}",
            f"{typical(lambda each: each.crowded.throughput):.0f}",
            f"{typical(lambda each: each.ratio):.2f}",
            f"{typical(lambda each: each.alone.p99):.1f}",
            f"{typical(lambda each: each.crowded.p99):.1f}",
            str(max(each.crowded.failed for each in found)),
            f"{min(each.accepted for each in found):,}",
            f"{typical(lambda each: each.alone.memory / 2**10):.0f}",
            f"{typical(lambda each: each.memory):.1f}",
            str(min(each.waiting for each in found)),
            ", ".join(f"{s}: {sum(each.statuses.get(s, 0) for each in found):,}" for s in statuses),
        ]


def waiting_targets(measurements: Sequence[waiting.Measurement]) -> Iterator[list[str]]:
    """Return a row for each target of the part "waiting"."""
    ours = [each for each in measurements if each.service == OURS.name]
    ratio = median(each.ratio for each in ours)
    memory = median(each.memory for each in ours)
    failed = max(each.crowded.failed for each in ours)
    for title, bound, measured, reached in (
        ("reads/s, crowded ÷ alone", "≥ 2/3", f"{ratio:.2f}", ratio >= WAITING_THROUGHPUT),
        (
            "memory for each connection",
            f"≤ {WAITING_MEMORY} KiB",
            f"{memory:.1f} KiB",
            memory <= WAITING_MEMORY,
        ),
        ("failed reads", "0", str(failed), not failed),
    ):
        yield [title, bound, measured, _verdict(reached)]


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"


def _bound(target: Target, value: float) -> str:
    return f"{'≤' if target.at_most else '≥'} {value:g}"


def _verdict(reached: bool) -> str:
    return "reached" if reached else "**missed**"
