"""Two nodes are upgraded one after the other, to a version with a migration, under load."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from debian_postgresql import PostgreSQL
from helpers import Held, copy_project, judge, load
from nodes import FLASK, Nodes

pytestmark = pytest.mark.cluster

# While it waits for its lock, the statements of all clients wait behind it.
MIGRATION = '''"""Add a column of the next version. Frozen."""


def up(migrator, db):
    db.execute_sql("ALTER TABLE tasks ADD COLUMN next TEXT NOT NULL DEFAULT 'x'")


def down(migrator, db):
    db.execute_sql("ALTER TABLE tasks DROP COLUMN next")
'''


def test_a_rolling_upgrade_causes_no_error(
    nodes: Nodes, primary: PostgreSQL, tmp_path: Path, report: Callable[..., None]
) -> None:
    (tmp_path / "next").mkdir()
    version = copy_project(tmp_path / "next")
    migration = version / "tracker" / "database" / "migrations" / "9999_add_next.py"
    migration.write_text(MIGRATION)
    with load(nodes.nginx) as found:
        found.goes_on()
        before = Held.now(nodes.services[0], primary.url)
        command = [*FLASK, "db", "init"]
        environment = nodes.environment | {"FLASK_APP": "wsgi.py"}
        done = subprocess.run(
            command, cwd=version, env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert "9999_add_next" in done.stdout
        found.goes_on()  # the old version on the new schema
        for number in (0, 1):
            nodes.stop(number)
            nodes.start(number, version)
            found.goes_on()
        assert nodes.nginx.answers("/health/ready")
        after = Held.now(nodes.services[0], primary.url)
    judge(
        report,
        "two nodes behind nginx: rolling upgrade with a migration",
        found,
        primary.url,
        tries=1,
        recovery=0.0,
        before=before,
        after=after,
        statuses=(200, 201, 412),
        pool=4 * 10,
    )
    assert "Traceback" not in nodes.logs
