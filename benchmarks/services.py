"""The service and its peers: the commands that start each, and the environment they run in."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.failures import StartFailed

ROOT = Path(__file__).resolve().parent.parent
PORT = "{port}"  # placeholder for the port in a command
WORKERS = "2"
PEER_THREADS = 16  # of the Django peer, and connections of the FastAPI peers
# Settings of ours and of the baseline that keep their defaults. An empty variable counts as not
# set, and wins over a .env file.
DEFAULTS = (
    "API_TOKEN",
    "DATABASE_POOL_SIZE",
    "DATABASE_PREPARED_STATEMENTS",
    "DATABASE_REPLICA_URL",
    "GITHUB_TIMEOUT",
    "GITHUB_TOKEN",
    "HOST",
    "LOG_FORMAT",
    "THREADS",
    "TRUSTED_HOSTS",
)


@dataclass(frozen=True)
class Service:
    """A way to build the service: the commands that create its table and that serve."""

    name: str
    title: str
    serve: tuple[str, ...]
    prepare: tuple[str, ...] = ()
    workloads: tuple[str, ...] | None = None  # None: all
    database_of: str | None = None  # the service whose database it reads; None: its own, if any
    folder: Path = ROOT  # working folder of both commands


def _uvicorn(app: str) -> tuple[str, ...]:
    return (
        *("uvicorn", app, "--workers", WORKERS, "--port", PORT, "--no-access-log"),
        # By default uvicorn kills a worker that a busy machine delays for 5 seconds.
        *("--timeout-worker-healthcheck", "60"),
    )


_FASTAPI_TABLE = ("benchmarks.peers.fastapi_tasks",)

OURS = Service("ours", "this service", ("gunicorn", "wsgi:app"), ("flask", "db", "init"))
PEERS = (
    Service(
        "original", "original design", _uvicorn("benchmarks.peers.original:app"), _FASTAPI_TABLE
    ),
    Service("tuned", "original, tuned", _uvicorn("benchmarks.peers.tuned:app"), _FASTAPI_TABLE),
    Service(
        "rest_framework",
        "Django REST framework",
        (
            *("gunicorn", "benchmarks.peers.rest_framework.wsgi:application"),
            # Without --config gunicorn would load our own gunicorn.conf.py.
            *("--config", "benchmarks/peers/rest_framework/serving.py"),
        ),
        ("django", "migrate", "--run-syncdb", "--verbosity=0"),
    ),
    Service(
        "statement",
        "Flask and one statement",
        ("gunicorn", "benchmarks.peers.statement:app"),
        workloads=("get",),
        database_of=OURS.name,
    ),
    Service(
        "floor", "empty Flask view", ("gunicorn", "benchmarks.peers.floor:app"), workloads=("get",)
    ),
)


def environment(
    database_url: str, cache: str, github: str, *, clients: int = 0, **settings: str
) -> dict[str, str]:
    """Return the environment variables of a service, without the user's own settings."""
    return {
        # libpq's own variables, such as PGPASSWORD, would change the connections.
        **{name: value for name, value in os.environ.items() if not name.startswith("PG")},
        **dict.fromkeys(DEFAULTS, ""),
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "benchmarks.peers.rest_framework.settings",
        "GITHUB_API_BASE": github,
        "GITHUB_CACHE": cache,
        "GITHUB_CACHE_TTL": "3600",
        "LOG_LEVEL": "warning",  # no access log, as the peers have none
        "PEER_THREADS": str(max(PEER_THREADS, clients)),
        "WEB_CONCURRENCY": WORKERS,
        **settings,
    }


def prepare(service: Service, variables: dict[str, str]) -> None:
    """Create the service's table.

    Raises:
        StartFailed: the command failed.
    """
    process = subprocess.run(
        [sys.executable, "-m", *service.prepare],
        cwd=service.folder,
        env=variables,
        capture_output=True,
        text=True,
    )
    if process.returncode:
        command = " ".join(service.prepare)
        raise StartFailed(f"{service.title}: {command} failed:\n{process.stderr}{process.stdout}")
