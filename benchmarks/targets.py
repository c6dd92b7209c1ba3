"""The ratios that the service has to reach, and those that it aims at."""

from dataclasses import dataclass

from benchmarks.baseline import NAME as BASELINE
from benchmarks.load import CLIENTS
from benchmarks.services import WORKERS


@dataclass(frozen=True)
class Target:
    """A ratio of ours to a peer's."""

    measure: str  # a field of LoadResult
    workload: str | None  # None: the most of all workloads
    peer: str
    needed: float
    aim: float | None = None
    at_most: bool = False  # a smaller ratio is better
    clients: int = CLIENTS

    def reached(self, ratio: float) -> bool:
        """Return whether the ratio is good enough."""
        return ratio <= self.needed if self.at_most else ratio >= self.needed


TARGETS = (
    Target("throughput", "get", BASELINE, 0.8, 1),
    Target("throughput", "page", BASELINE, 0.6, 1),
    Target("throughput", "post", BASELINE, 0.8, 1),
    Target("throughput", "patch", BASELINE, 0.8, 1),
    Target("throughput", "get", "original", 4, 5),
    Target("throughput", "get", "floor", 0.55, 0.7),
    Target("throughput", "get", "floor", 0.4, clients=int(WORKERS)),
    Target("throughput", "page", "original", 6, 8),
    Target("throughput", "page", "rest_framework", 11),
    Target("throughput", "post", "original", 22, 28),
    Target("throughput", "post", "tuned", 2.2, 2.6),
    Target("throughput", "patch", "original", 3, 4),
    *(
        Target("p99", workload, "original", 0.3, 0.15, at_most=True)
        for workload in ("get", "not-modified", "page", "filtered", "search", "post", "patch")
    ),
    Target("memory", None, "original", 0.75, at_most=True),
)

GROWTH_NEEDED, GROWTH_AIM = 1.5, 1.1  # throughput with the fewest tasks ÷ with the most
GROWTH_WORKLOADS = ("first-page", "far-page")
CALLS_PROCESSES = {1: "needed", 4: "aim"}

WAITING_THROUGHPUT = 2 / 3  # of reads, with the waiting clients ÷ without
WAITING_MEMORY = 64  # KiB for each connection
