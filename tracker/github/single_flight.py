"""Single flight: concurrent calls for one key share one result."""

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs a function once for all threads or greenlets that ask for its key meanwhile."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._flights: dict[Hashable, Future[T]] = {}

    def run(self, key: Hashable, function: Callable[[], T], timeout: float) -> T:
        """Return the function's result, or that of the call in progress.

        Raises:
            concurrent.futures.TimeoutError: that call did not finish in `timeout` seconds.
            Exception: whatever the function raised; each caller gets it.
        """
        with self._lock:
            flight = self._flights.get(key)
            leads = flight is None
            if flight is None:
                flight = self._flights[key] = Future()
        if leads:
            try:
                flight.set_result(function())
            except BaseException as error:
                flight.set_exception(error)
            finally:
                with self._lock:
                    del self._flights[key]
        try:
            return flight.result(timeout)
        finally:
            del flight  # an error's traceback would refer to it, and it to the error
