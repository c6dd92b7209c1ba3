"""Patroni replaces the primary; one service uses a URL of both hosts, and another one HAProxy."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from helpers import Held, judge, load, served, wait_for, workers
from patroni import Member, patroni_running, wait_for_long
from tracker.config import Settings
from tracker.database import migrations

pytestmark = pytest.mark.cluster

PATIENCE = 60  # seconds; a primary whose machine is gone is replaced after the documented ttl
# With synchronous_mode, each takes place only once the other server follows again.
FAILOVERS: list[tuple[str, Callable[[Member], None], int]] = [
    ("primary's PostgreSQL killed", Member.kill_server, 3),
    ("primary's PostgreSQL and Patroni killed", Member.kill, 1),
]


def test_a_failover_by_patroni_loses_and_doubles_nothing(
    variables: dict[str, str], tmp_path: Path, report: Callable[..., None]
) -> None:
    with patroni_running() as patroni, ExitStack() as stack:
        primary = patroni.primary()
        migrations.upgrade(Settings(database_url=primary.url))
        urls = {
            "both hosts in DATABASE_URL": patroni.url(*(one.host for one in patroni.members)),
            "HAProxy": patroni.url(f"127.0.0.1:{patroni.haproxy}"),
        }
        services = {}
        for number, (name, url) in enumerate(urls.items()):
            environment = variables | {"DATABASE_URL": url}
            services[name] = stack.enter_context(served(environment, tmp_path / str(number)))
            wait_for(lambda name=name: len(workers(services[name])) == 2)  # type: ignore[misc]
        for fault, strike, tries in FAILOVERS:
            with ExitStack() as loads:
                found = {
                    name: loads.enter_context(load(service, clients=4, patience=PATIENCE))
                    for name, service in services.items()
                }
                for one in found.values():
                    one.goes_on()
                before = {name: Held.now(one, primary.url) for name, one in services.items()}
                recoveries: dict[str, list[float]] = {name: [] for name in services}
                outages = []
                for _ in range(tries):
                    struck = time.monotonic()
                    strike(primary)
                    old, primary = primary, patroni.other(primary)
                    wait_for_long(primary.is_primary)
                    promoted = time.monotonic()
                    outages.append(promoted - struck)
                    for name, one in found.items():
                        one.goes_on(8)
                        recoveries[name].append(one.recovery(promoted))
                    if strike is Member.kill:
                        old.start()
                    assert patroni.primary() is primary
                    assert old.is_standby()
                after = {name: Held.now(one, primary.url) for name, one in services.items()}
            for name, one in found.items():
                judge(
                    report,
                    f"Patroni, {name}: {fault}, standby promoted in {max(outages):.1f} s",
                    one,
                    primary.url,
                    tries=tries,
                    recovery=max(recoveries[name]),
                    before=before[name],
                    after=after[name],
                    pool=4 * 10,
                )
