"""Progress: a bar on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from ..tasks.phrases import span
from .output import say

INTERVAL = 10.0  # seconds between two lines


class Progress:
    """A count of steps towards a total, shown on standard error."""

    def __init__(self, title: str, total: int | None, quiet: bool = False) -> None:
        self._title, self._total, self._quiet = title, total, quiet
        self._done = 0
        self._started = self._shown = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        several = self._total is None or self._total > 1
        if sys.stderr.isatty() and several and not self._quiet:
            self._bar = _new_bar()
            self._task = self._bar.add_task(self._title, total=self._total)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self, steps: int = 1) -> None:
        """Count steps."""
        self._done += steps
        if self._bar:
            self._bar.advance(self._task, steps)
            return
        now = time.monotonic()
        if now - self._shown >= INTERVAL and not self._quiet:
            self._shown = now
            say(self._line(now - self._started))

    def _line(self, seconds: float) -> str:
        if not self._total:
            return f"{self._title}: {self._done:,}"
        left = seconds / self._done * (self._total - self._done)
        return f"{self._title}: {self._done:,} of {self._total:,}, about {span(left)} left"


def _new_bar() -> Any:
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
