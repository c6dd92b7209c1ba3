"""gunicorn's settings: defaults for `gunicorn wsgi:app`, loaded from the working directory."""

import signal

# Ctrl-C during the imports: the default handler's exception would be a traceback, or be lost in
# a callback. A reload finds gunicorn's handler.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from gevent import monkey

# Before the others: peewee binds threading.local and requests binds sockets when they are imported.
monkey.patch_all()

import atexit
import errno
import gc
import math
import os
import resource
import socket
import sys
from pathlib import Path
from typing import Any

from gunicorn.sock import TCP6Socket, TCPSocket
from peewee import PeeweeException

# Before the application, which creates the metrics.
from tracker import metric_files

metric_files.share()

# The workers share the memory of what the master imports, and start sooner.
import tracker.application  # noqa: F401
from tracker import logs, master, presence
from tracker.api.session import wrong_tokens
from tracker.config import SettingsError, file_warnings, is_loopback
from tracker.database import migrations
from tracker.database.connection import connection_parameters, database_name
from tracker.database.driver import use_gevent
from tracker.database.errors import explain, is_wrong_encoding
from tracker.errors import DatabaseUnavailable, EmbeddedPostgresError, TrackerError
from tracker.postgres import server as embedded
from tracker.worker import REQUEST_LINE_MAX

try:
    settings = master.reload_settings()
except SettingsError as error:
    sys.exit(error.report)

host = f"[{settings.host}]" if ":" in settings.host else settings.host
bind = f"{host}:{settings.port}"
workers = settings.web_concurrency
worker_class = "tracker.worker.Worker"
worker_connections = 4_000  # per worker; each costs some 50 KiB
logger_class = "tracker.logs.GunicornLogger"
keepalive = 75  # seconds; longer than a proxy in front keeps its idle connections
limit_request_line = REQUEST_LINE_MAX
graceful_timeout = 20 + math.ceil(settings.github_timeout)  # seconds; the longest request
control_socket_disable = True
# Any local program could send forwarded headers: only a proxy that is named is believed.
forwarded_allow_ips = os.environ.get("FORWARDED_ALLOW_IPS", "")
forwarder_headers = ""  # SCRIPT_NAME and PATH_INFO are no headers of ours
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # heartbeats need no disk
logconfig_dict = logs.configuration(settings)
access_log_format = logs.ACCESS_FORMAT

# Each connection needs a file descriptor, and the soft limit is often 1,024.
_, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))


def on_starting(server: Any) -> None:
    """Start the embedded database in the master, if it is used, and check the database."""
    if server.cfg.is_ssl:
        sys.exit("error: gunicorn's TLS options are not supported; put a proxy with TLS in front")
    if server.cfg.worker_class_str != worker_class:
        sys.exit(f"error: only the worker class {worker_class} serves; remove --worker-class")
    wrong_tokens.clear()  # in memory that the workers will share
    master.end_with_terminal(server)
    master.reload_without_wait(server)
    server.LISTENERS = listen(server)
    folder = settings.embedded_folder
    atexit.register(master.resources.close)  # where gunicorn ends without on_exit
    try:
        with master.resources_closed_on_failure():
            master.resources.enter_context(embedded.running(folder))
            for name in migrations.upgrade(settings) if folder else ():
                server.log.info("Applied migration %s", name)
            check_database(server)
            embedded.exit_if_signaled()
            server.init_signals()  # gunicorn does it a moment later; a signal may come before
    except (EmbeddedPostgresError, TrackerError, PeeweeException) as error:
        sys.exit(f"error: {explain(error, connection_parameters(settings))}")


def on_exit(server: Any) -> None:
    """Stop the embedded database: CPython 3.12 starts no program in an atexit function."""
    master.resources.close()


def check_database(server: Any) -> None:
    """Log what prevents the use of the database; requests get a 503 until it is corrected."""
    try:
        newer = migrations.check(settings)
    except (DatabaseUnavailable, PeeweeException) as error:
        if is_wrong_encoding(error):
            raise  # no waiting mends it
        reason = explain(error, connection_parameters(settings))
        server.log.error("%s", reason)  # noqa: TRY400  the line names the cause
    else:
        if newer:
            server.log.warning("Database schema is newer than this code: %s", ", ".join(newer))


def pre_fork(server: Any, worker: Any) -> None:
    """Choose the files of the worker's metrics, and let it share the memory of the imports."""
    gc.freeze()  # a collection writes to each object that is not frozen, and so copies its page
    worker.metrics_slot = metric_files.free_slot(w.metrics_slot for w in server.WORKERS.values())
    metric_files.forget(worker.metrics_slot)


def post_fork(server: Any, worker: Any) -> None:
    """Run other requests of the worker while one waits for PostgreSQL."""
    use_gevent()
    metric_files.use_slot(worker.metrics_slot)


def child_exit(server: Any, worker: Any) -> None:
    """Remove what the worker has in use from the metrics."""
    metric_files.forget(worker.metrics_slot)


def when_ready(server: Any) -> None:
    """Log where the service is, and prepare the start of the workers."""
    master.end_starting_workers()
    server.log.info("Page        %s/", settings.address)
    server.log.info("API         %s/tasks", settings.address)
    server.log.info("Swagger UI  %s/docs", settings.address)
    for warning in file_warnings():
        server.log.warning("%s", warning)
    tcp = [listener for listener in server.LISTENERS if listener.FAMILY != socket.AF_UNIX]
    try:
        addresses = [listener.getsockname()[:2] for listener in tcp]
        presence.announce(database_name(settings), addresses)
    except OSError as error:
        server.log.warning("The command line can't find this service: %s", error)
    hosts = [listener.getsockname()[0] for listener in tcp]
    if not (settings.api_token or all(map(is_loopback, hosts))):
        server.log.warning(
            "%s accepts other machines, and without API_TOKEN the API needs no login",
            ", ".join(hosts),
        )


def listen(server: Any) -> list[Any]:
    """Listen on our addresses; exit if that is not possible.

    gunicorn would do it only after the database has started, and would retry for 5 seconds. It
    keeps listeners that it has:
    https://github.com/benoitc/gunicorn/blob/27.0.1/gunicorn/arbiter.py#L190
    """
    addresses = server.cfg.address
    inherited = {"GUNICORN_FD", "LISTEN_FDS"} & os.environ.keys()
    if inherited or not all(isinstance(address, tuple) for address in addresses):
        return []  # sockets of a parent process, or Unix sockets
    listeners = []
    for name, port in addresses:
        kind = TCP6Socket if ":" in name else TCPSocket
        try:
            listeners.append(kind((name, port), server.cfg, server.log))
        except OSError as error:
            used = error.errno == errno.EADDRINUSE
            remedy = "stop the program that uses it, or " if used else ""
            sys.exit(
                f"error: can't listen on {name}:{port} ({error.strerror}); {remedy}set HOST or PORT"
            )
    return listeners
