"""Citus, which distributes `tasks` over several machines: what we send must work there too.

The fixture `accepted_by_citus` applies the rules to the statements of all tests.
"""

import re
from pathlib import Path

import pytest

from citus import PLAN_MODE, RULES, refusals
from hurt import execute
from tracker.config import Settings
from tracker.database import migrations

LAST_BEFORE_DISTRIBUTION = "0006"  # a new database has these migrations when `tasks` is distributed
UNIQUE = """
    SELECT conname FROM pg_constraint WHERE contype IN ('u', 'x', 'f')
    AND 'tasks'::regclass IN (conrelid, confrelid)
    UNION SELECT indexrelid::regclass::text FROM pg_index
    WHERE indrelid = 'tasks'::regclass AND indisunique AND NOT indisprimary
    UNION SELECT tgname FROM pg_trigger WHERE tgrelid = 'tasks'::regclass AND NOT tgisinternal
"""
REFUSED_DDL = {
    r"\bSET\s+STATISTICS\b": "ALTER ... SET STATISTICS; leave the default",
    r"\bCREATE\s+TRIGGER\b": "a trigger; change the statements",
    r"\bCREATE\s+RULE\b": "a rule; change the statements",
}


INSERT, UPDATE = "INSERT INTO tasks (id, title) VALUES", "UPDATE tasks SET completed_at ="
EXAMPLES = {  # statements that Citus refuses, and similar ones that it takes
    f"{INSERT} (1, 'x') RETURNING (SELECT row_to_json(f) FROM (SELECT id) AS f)": (
        f"{INSERT} (1, 'x') RETURNING created_at AT TIME ZONE 'UTC'"
    ),
    f"{INSERT} (1, (SELECT max(title) FROM tasks))": (
        "INSERT INTO tasks (title) SELECT max(title) FROM tasks"
    ),
    "SELECT t.* FROM unnest(%s) AS i, LATERAL (SELECT * FROM tasks WHERE id = i LIMIT 1) AS t": (
        "SELECT * FROM tasks WHERE id = ANY (%s)"
    ),
    f"{UPDATE} CASE WHEN status = 'done' THEN completed_at ELSE now() END": (
        f"{UPDATE} CASE WHEN status = 'done' THEN completed_at ELSE %s END"
    ),
    f"{INSERT} (1, 'x') ON CONFLICT (id) DO UPDATE SET title = 'y' WHERE tasks.due_date < now()": (
        f"{INSERT} (1, 'x') ON CONFLICT (id) DO NOTHING"
    ),
    "SELECT (SELECT row_to_json(f) FROM (SELECT id, to_char(time, %s)) AS f) FROM tasks": (
        "SELECT (SELECT row_to_json(f) FROM (SELECT to_char(t, %s) FROM (SELECT time AS t) AS u)"
        ' AS f) FROM "tasks" AS "t1"'
    ),
    'DELETE FROM "tasks" WHERE random() < 0.5': 'DELETE FROM "tasks" WHERE id < 5',
    "SELECT id FROM tasks WHERE stars > 5 FOR UPDATE": "SELECT id FROM tasks WHERE stars > 5",
    "WITH RECURSIVE n AS (SELECT 1 UNION SELECT min(id) FROM tasks) SELECT * FROM n": (
        "WITH n AS (SELECT min(id) FROM tasks) SELECT * FROM n"
    ),
    "SELECT count(*) FROM tasks GROUP BY ROLLUP (status)": (
        "SELECT count(*) FROM tasks GROUP BY status"
    ),
    "SELECT id FROM tasks JOIN former_names AS f USING (repository_id)": (
        "SELECT stars, id FROM tasks WHERE repository_id = ANY (%s)"
    ),
}


@pytest.mark.parametrize(("refused", "works"), EXAMPLES.items(), ids=range(len(EXAMPLES)))
def test_a_rule_tells_what_citus_refuses_from_what_works(refused: str, works: str) -> None:
    assert len(refusals(refused)) == 1
    assert refusals(works) == []


def test_each_rule_has_an_example() -> None:
    found = {reason for refused in EXAMPLES for reason in refusals(refused)}
    assert found == {f"{rule.refused}; {rule.instead}" for rule in RULES}


def test_a_plan_without_the_values_is_refused() -> None:
    assert refusals("SET plan_cache_mode = 'force_generic_plan'") == [PLAN_MODE]
    assert refusals("SET plan_cache_mode = auto") == []


def test_tasks_have_no_unique_constraint_but_their_key(database_url: str) -> None:
    assert execute(database_url, UNIQUE) == []
    assert execute(database_url, "SHOW plan_cache_mode") == [("auto",)]


def test_later_migrations_work_on_distributed_tasks() -> None:
    for path in sorted(migrations.FOLDER.glob("[0-9]*.py")):
        if path.stem > f"{LAST_BEFORE_DISTRIBUTION}_~":
            for pattern, reason in REFUSED_DDL.items():
                found = re.search(pattern, path.read_text())
                assert not found, f"{path.name}: Citus refuses {reason}"


def test_migrations_change_one_shard_after_another(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "FOLDER", tmp_path)
    mode = "current_setting('citus.multi_shard_modify_mode')"
    up = f'db.execute_sql("CREATE TABLE seen AS SELECT {mode} AS mode")'
    (tmp_path / "0001_look.py").write_text(f"def up(migrator, db):\n    {up}\n")
    migrations.upgrade(Settings(database_url=empty_database_url))
    assert execute(empty_database_url, "SELECT mode FROM seen") == [("sequential",)]
