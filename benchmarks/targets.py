"""What the measured numbers should be at least, and what they aim at."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """A ratio of ours to a peer's; `below` tells that less is better."""

    measure: str  # a field of Load
    work: str | None  # None: whatever the work
    peer: str
    needed: float
    aim: float | None = None
    below: bool = False

    def reached(self, ratio: float) -> bool:
        """Tell whether the ratio is good enough."""
        return ratio < self.needed if self.below else ratio >= self.needed


TARGETS = (
    Target("throughput", "get", "original", 3, 4),
    Target("throughput", "get", "rest_framework", 2.5),
    Target("throughput", "get", "floor", 0.6, 0.75),
    Target("throughput", "page", "original", 5, 10),
    Target("throughput", "page", "rest_framework", 8),
    Target("throughput", "post", "original", 15, 25),
    Target("throughput", "post", "tuned", 2, 3),
    Target("throughput", "patch", "original", 2.5, 4),
    *(
        Target("p99", work, "original", 1, 0.5, below=True)
        for work in ("get", "not-modified", "page", "filtered", "search", "post", "patch")
    ),
    Target("memory", None, "original", 1, 0.5, below=True),
)

GROWTH_NEEDED, GROWTH_AIM = 1.5, 1.1  # times as slow as with the fewest tasks
GROWTH_WORKS = ("first-page", "far-page")
CALLS_PROCESSES = {1: "needed", 4: "aim"}
