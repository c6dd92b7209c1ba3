"""Clients that read and edit a task while something else goes on."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from helpers import Service


class Readers:
    """Clients that read and edit a task, and how long that takes."""

    def __init__(self, service: Service, clients: int = 3) -> None:
        self._service = service
        self._clients = clients
        self._titles = count()
        self._path = service.post("pallets/flask").headers["Location"]

    def measure(self, seconds: float) -> list[float]:
        """Read and edit for so long; return the seconds of each request, sorted."""
        durations, stopped = list[float](), threading.Event()

        def work() -> None:
            while not stopped.is_set():
                for method, path, options in (
                    ("GET", self._path, {}),
                    ("GET", "/tasks?limit=10", {}),
                    ("PATCH", self._path, {"json": {"title": f"title {next(self._titles)}"}}),
                ):
                    started = time.monotonic()
                    assert self._service.call(method, path, **options).status_code == 200
                    durations.append(time.monotonic() - started)
                time.sleep(0.02)

        with ThreadPoolExecutor(self._clients) as threads:
            jobs = [threads.submit(work) for _ in range(self._clients)]
            time.sleep(seconds)
            stopped.set()
        for job in jobs:
            job.result()
        return sorted(durations)


def check_as_fast(meanwhile: list[float], before: list[float]) -> None:
    """Check that half of the requests took about as long as before; both are sorted.

    The slowest of them depend on what else the machine does.
    """
    middle, usual = meanwhile[len(meanwhile) // 2], before[len(before) // 2]
    assert middle < 10 * usual, (usual, len(before), middle, len(meanwhile), meanwhile[-1])
