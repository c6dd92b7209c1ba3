"""gunicorn's master process: its settings, and what SIGHUP does."""

import errno
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from .config import Settings, SettingsError, file_warnings, load_settings
from .postgres.server import ignore_signals

logger = logging.getLogger("gunicorn.error")

resources = ExitStack()  # closed when the master ends; a reload keeps them
settings: Settings | None = None  # None: gunicorn has not loaded our gunicorn.conf.py


def reload_settings() -> Settings:
    """Return the settings; where a reload finds invalid ones, log that and return the old ones.

    The workers use them too: one that starts later must not find another `.env`.

    Raises:
        SettingsError: at the start, a setting is invalid.
    """
    global settings
    reloads = settings is not None
    try:
        settings = _reloadable(load_settings())
    except SettingsError as error:
        if settings is None:
            raise
        for problem in error.problems:
            logger.error("Reload failed, the old settings stay: %s", problem)  # noqa: TRY400
    for warning in file_warnings() if reloads else ():  # those of a start follow when it is ready
        logger.warning("%s", warning)
    return settings


def _reloadable(new: Settings) -> Settings:
    """Return the new settings if a reload can apply them; the master opens these at the start."""
    if settings:
        changed = {"HOST": settings.host != new.host, "PORT": settings.port != new.port}
        changed["DATABASE_URL"] = settings.embedded_folder != new.embedded_folder
        names = [name for name, is_changed in changed.items() if is_changed]
        if names:
            raise SettingsError(f"{' and '.join(names)} can't change without a restart")
    return new


def end_with_terminal(arbiter: Any) -> None:
    """Stop gunicorn at a SIGHUP that comes because the terminal has closed.

    Otherwise SIGHUP reloads: sent by a supervisor, from another terminal, or under `nohup`.
    """
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN  # as `nohup` does
    if ignored or not has_terminal():
        return
    reload = arbiter.handle_hup

    def handle_hup() -> None:
        if has_terminal():
            reload()
        else:
            arbiter.handle_term()

    arbiter.handle_hup = handle_hup


class _Reloaded(Exception):
    """The new workers are started, and the old ones are told to stop."""


def reload_without_wait(arbiter: Any) -> None:
    """Replace gunicorn's reload by one that does not wait for the old workers.

    gunicorn reads no signal while it waits for them, so a SIGTERM would wait too:
    https://github.com/benoitc/gunicorn/blob/27.0.1/gunicorn/arbiter.py#L591
    """
    reload = arbiter.reload

    def reload_at_once() -> None:
        manage_workers = arbiter.manage_workers

        def manage_and_return() -> None:
            manage_workers()
            raise _Reloaded

        arbiter.manage_workers = manage_and_return
        try:
            with suppress(_Reloaded):
                reload()
        finally:
            arbiter.manage_workers = manage_workers

    arbiter.reload = reload_at_once


@contextmanager
def resources_closed_on_failure() -> Iterator[None]:
    """Close the resources if the block fails or a signal ends it; a second signal is ignored.

    CPython 3.12 could not do it later: it starts no program in an atexit function.
    """
    try:
        yield
    except BaseException:
        ignore_signals()
        resources.close()
        raise


def end_starting_workers() -> None:
    """End a new worker by SIGTERM or SIGQUIT even while it has no handler of its own.

    A child has the handlers of the master until it sets its own, and they would only note the
    signal: gunicorn would kill the worker after `graceful_timeout`. A signal that arrives during
    the fork waits for its end.
    https://github.com/benoitc/gunicorn/blob/27.0.1/gunicorn/arbiter.py#L733
    """
    signals = {signal.SIGTERM, signal.SIGQUIT}
    masks: list[set[int]] = []  # the mask before the fork; the start of a program is one too

    def exit_at_signals() -> None:
        for number in signals:  # the default action of SIGQUIT would write the memory to a file
            signal.signal(number, lambda *_: os._exit(0))
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop())

    os.register_at_fork(
        before=lambda: masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, signals)),
        after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop()),
        after_in_child=exit_at_signals,
    )


def has_terminal() -> bool:
    """Return whether the process has a controlling terminal; one that has closed is none."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError as error:
        return error.errno not in {errno.ENXIO, errno.ENOENT, errno.EIO}
    return True
