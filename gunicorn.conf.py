"""gunicorn's settings: good defaults for `gunicorn wsgi:app`, found by itself in this folder."""

import atexit
import math
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gunicorn.sock import TCP6Socket, TCPSocket

from tracker import logs
from tracker.config import SettingsError, load_settings
from tracker.database import migrations
from tracker.errors import EmbeddedPostgresError, TrackerError
from tracker.postgres import server as embedded

try:
    settings = load_settings()
except SettingsError as error:
    sys.exit(f"error: {error}")

host = f"[{settings.host}]" if ":" in settings.host else settings.host
bind = f"{host}:{settings.port}"
workers = settings.web_concurrency
worker_class = "tracker.worker.Worker"
logger_class = "tracker.worker.Logger"
threads = settings.threads + settings.waiting
keepalive = 75  # seconds; longer than a proxy in front keeps its idle connections
graceful_timeout = 20 + math.ceil(settings.github_timeout)  # seconds; the longest request
control_socket_disable = True
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # heartbeats need no disk
logconfig_dict = logs.configuration(settings)
access_log_format = logs.ACCESS_FORMAT


def on_starting(server: Any) -> None:
    """Start the embedded database, if it is wanted, in the master alone."""
    server.LISTENERS = _listen(server)
    folder = settings.embedded_folder
    if folder is None:
        return
    stack = ExitStack()
    atexit.register(stack.close)
    try:
        stack.enter_context(embedded.running(folder))
        for name in migrations.upgrade(settings):
            server.log.info("Applied migration %s", name)
    except (EmbeddedPostgresError, TrackerError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def post_fork(server: Any, worker: Any) -> None:
    """Leave Ctrl-C, which reaches the whole group, to the master, who tells the workers to quit."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def post_worker_init(worker: Any) -> None:
    """Have a worker that is told to quit do so at once."""
    # ThreadWorker.handle_quit waits for the thread pool's lock, which its own thread may hold.
    signal.signal(signal.SIGQUIT, lambda *_: os._exit(0))


def when_ready(server: Any) -> None:
    """Say where the service is."""
    server.log.info("API         %s/tasks", settings.address)
    server.log.info("Swagger UI  %s/docs", settings.address)
    if not (settings.loopback_only or settings.api_token):
        server.log.warning(
            "HOST=%s lets other machines in, and without API_TOKEN the API asks for no login",
            settings.host,
        )


def _listen(server: Any) -> list[Any]:
    """Take the addresses before anything else is started, so that nobody else can meanwhile."""
    addresses = server.address
    inherited = {"GUNICORN_FD", "LISTEN_FDS"} & os.environ.keys()  # open, and handed down to us
    if inherited or not all(isinstance(address, tuple) for address in addresses):
        return []
    listeners = []
    for host, port in addresses:
        kind = TCP6Socket if ":" in host else TCPSocket
        try:
            listeners.append(kind((host, port), server.cfg, server.log))
        except OSError as error:
            sys.exit(
                f"error: can't listen on {host}:{port} ({error.strerror}); "
                "stop what uses it, or set HOST or PORT"
            )
    return listeners
