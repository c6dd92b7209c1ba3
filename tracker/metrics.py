"""The service's metrics for Prometheus; docs/operations.md says how to use each.

gunicorn's processes keep them in shared files (`metric_files.py`), any other process in its memory.
"""

from collections.abc import Callable, Iterable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from . import metric_files

disable_created_metrics()  # type: ignore[no-untyped-call]  # the shared files have none
registry = CollectorRegistry()

REQUESTS = Counter(
    "tracker_http_requests_total",
    "Requests whose response has started.",
    ["method", "route", "status"],
    registry=registry,
)
REQUEST_DURATION = Histogram(
    "tracker_http_request_duration_seconds",
    "Seconds from the head of a request to the start of its response.",
    ["method", "route"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=registry,
)
REQUESTS_IN_FLIGHT = Gauge(
    "tracker_http_requests_in_flight",
    "Requests whose response has not started.",
    multiprocess_mode="livesum",
    registry=registry,
)
POOL_SIZE = Gauge(
    "tracker_database_pool_connections_max",
    "Database connections that the pools of all workers may open.",
    multiprocess_mode="livesum",
    registry=registry,
)
POOL_IN_USE = Gauge(
    "tracker_database_pool_connections_in_use",
    "Database connections that are checked out of the pools.",
    multiprocess_mode="livesum",
    registry=registry,
)
POOL_WAITS = Counter(
    "tracker_database_pool_waits_total",
    "Checkouts that had to wait, because all connections of the pool were in use.",
    registry=registry,
)
GITHUB_CALLS = Counter(
    "tracker_github_calls_total",
    "Calls to GitHub by outcome: the status of the response, or why there was none.",
    ["outcome"],
    registry=registry,
)
GITHUB_CACHE = Counter(
    "tracker_github_cache_lookups_total",
    "Look-ups of a repository: hit, miss, and stale for a miss that an old response served.",
    ["result"],
    registry=registry,
)

_sampled: dict[Gauge, Callable[[], float]] = {}


def sample_from(gauge: Gauge, read: Callable[[], float]) -> None:
    """Set a gauge to what `read` returns whenever the gauges are sampled."""
    _sampled[gauge] = read


def sample() -> None:
    """Set the sampled gauges: each worker does so once a second, which costs a request nothing."""
    for gauge, read in _sampled.items():
        gauge.set(read())


class Families(Collector):
    """Metrics that are read when they are collected."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()


def exposition(*collectors: Collector) -> bytes:
    """Return the metrics of all processes, and those of the collectors, in Prometheus' format."""
    sample()
    collected = CollectorRegistry()
    if folder := metric_files.collected():
        MultiProcessCollector(collected, folder)  # type: ignore[no-untyped-call]
    else:
        collected.register(registry)
    for collector in collectors:
        collected.register(collector)
    return generate_latest(collected)
