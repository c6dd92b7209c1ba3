"""PostgreSQL is restarted, killed or missing; no acknowledged write is lost or doubled."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from helpers import Held, connections, descriptors, judge, load, served, wait_for, workers
from hurt import (
    accepts,
    execute,
    kill_backend,
    kill_postmaster,
    restart_fast,
    restart_immediately,
    start,
    stop,
    terminate_connections,
)
from tracker.config import Settings
from tracker.database import migrations

# tests/database/test_connection.py has a retry and each error, without load, and
# tests/test_gunicorn.py has a server that starts late.
pytestmark = [pytest.mark.failure, pytest.mark.slow]


@pytest.mark.parametrize(
    ("fault", "strike", "tries"),
    [
        ("connections terminated", terminate_connections, 5),
        ("server restarted", restart_fast, 3),
        ("server restarted without a shutdown", restart_immediately, 2),
        ("server killed, and started again", kill_postmaster, 2),
        ("one of the server's processes killed", kill_backend, 2),
    ],
)
def test_an_outage_under_load_loses_and_doubles_nothing(
    environment: dict[str, str],
    folder: Path,
    url: str,
    tmp_path: Path,
    report: Callable[..., None],
    fault: str,
    strike: Callable[[Path], None],
    tries: int,
) -> None:
    recoveries = []
    with served(environment, tmp_path / "output") as service:
        wait_for(lambda: len(workers(service)) == 2)
        with load(service) as found:
            found.goes_on()
            before = Held.now(service, url)
            for _ in range(tries):
                strike(folder)
                returned = time.monotonic()
                time.sleep(0.5)
                recoveries.append((returned, time.monotonic()))
            found.goes_on()
            after = Held.lasting(service, url)
    judge(
        report,
        fault,
        found,
        url,
        tries=tries,
        recovery=max(
            found.recovery(returned),
            *(found.recovery(since, until) for since, until in recoveries[:-1]),
        ),
        before=before,
        after=after,
    )


class Lack(NamedTuple):
    """Something that is missing when the service starts."""

    remove: Callable[[Path, str], object]
    restore: Callable[[Path, str], object]
    message: str


FORGET = f"DELETE FROM {migrations.HISTORY} RETURNING name, applied"


def renamed(old: str, new: str) -> Lack:
    """Return the lack of a part of the schema, which has another name meanwhile."""
    rows = ", ".join(f"('{path.stem}', now())" for path in migrations.FOLDER.glob("[0-9]*.py"))
    remember = f"INSERT INTO {migrations.HISTORY} (name, applied) VALUES {rows}"
    return Lack(
        lambda folder, url: execute(url, f"{old}; {FORGET}"),
        lambda folder, url: execute(url, f"{new}; {remember}"),
        "flask db init",
    )


LACKS = {
    "server absent at the start": Lack(
        lambda folder, url: stop(folder), lambda folder, url: start(folder), "can't be reached"
    ),
    "schema missing": Lack(
        lambda folder, url: execute(url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public"),
        lambda folder, url: migrations.upgrade(Settings(database_url=url)),
        "flask db init",
    ),
    "schema behind by a column": renamed(
        "ALTER TABLE tasks RENAME COLUMN language TO other",
        "ALTER TABLE tasks RENAME COLUMN other TO language",
    ),
    "schema behind by a table": renamed(
        "ALTER TABLE idempotency_keys RENAME TO other",
        "ALTER TABLE other RENAME TO idempotency_keys",
    ),
}


@pytest.mark.parametrize("fault", LACKS)
def test_a_lack_is_reported_until_it_ends(
    environment: dict[str, str],
    folder: Path,
    url: str,
    tmp_path: Path,
    report: Callable[..., None],
    fault: str,
) -> None:
    lack = LACKS[fault]
    lack.remove(folder, url)
    with served(environment, tmp_path / "output") as service:
        wait_for(lambda: len(workers(service)) == 2)
        with load(service, clients=4) as found:
            wait_for(lambda: found.seen().get(503, 0) >= 8)
            response = service.call("GET", "/health/ready")
            assert response.status_code == 503
            assert lack.message in response.json()["message"]
            found.look_at(response)
            assert not found.created
            before = Held(connections(url) if accepts(url) else 0, descriptors(service))
            lack.restore(folder, url)
            restored = time.monotonic()
            found.goes_on()
            assert service.answers("/health/ready")
            after = Held.now(service, url)
    judge(
        report,
        fault,
        found,
        url,
        tries=1,
        recovery=found.recovery(restored),
        before=before,
        after=after,
    )
