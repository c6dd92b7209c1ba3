"""The task's rules, as the database itself keeps them."""

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from flask import Flask
from peewee import IntegrityError

from tracker.database import models
from tracker.database.connection import borrowed, database
from tracker.database.models import Task, _insert, _select_stored

NOW = datetime.now(timezone.utc)
VALID = {"title": "Read the docs", "repository": "pallets/flask"}
METADATA = {
    "repository_id": 596892,
    "repository_url": "https://github.com/pallets/flask",
    "stars": 70000,
    "archived": False,
    "metadata_status": "current",
    "metadata_fetched_at": datetime(2030, 1, 1, tzinfo=timezone.utc),
}


@pytest.fixture(autouse=True)
def connection(app: Flask) -> Iterator[None]:
    with borrowed():
        yield


@pytest.mark.parametrize(
    ("constraint", "values"),
    [
        ("tasks_title_length", {"title": ""}),
        ("tasks_title_length", {"title": "x" * 201}),
        ("tasks_title_line", {"title": " padded "}),
        ("tasks_title_line", {"title": "two\nlines"}),
        ("tasks_description_length", {"description": "x" * 10_001}),
        ("tasks_status_known", {"status": "closed"}),
        ("tasks_priority_known", {"priority": "urgent"}),
        ("tasks_tags_number", {"tags": [str(number) for number in range(21)]}),
        ("tasks_tags_length", {"tags": [""]}),
        ("tasks_tags_length", {"tags": ["x" * 51]}),
        ("tasks_tags_length", {"tags": ["good", "y" * 50, "x" * 51]}),
        ("tasks_tags_length", {"tags": ["x" * 30 + "\n" + "x" * 30]}),
        ("tasks_tags_length", {"tags": [None]}),
        ("tasks_repository_name", {"repository": "flask"}),
        ("tasks_repository_name", {"repository": "a/b/c"}),
        ("tasks_repository_name", {"repository": "a/b\n"}),
        ("tasks_stars_natural", {"stars": -1}),
        ("tasks_metadata_status_known", {"metadata_status": "lost"}),
        ("tasks_version_positive", {"version": 0}),
        *[
            ("tasks_metadata_whole", METADATA | {name: None})
            for name in METADATA
            if name != "metadata_status"
        ],
    ],
)
def test_the_database_refuses_what_breaks_a_rule(constraint: str, values: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        Task.create(**VALID | values)


@pytest.mark.parametrize("name", ["title", "status", "priority", "tags", "repository", "version"])
def test_the_database_refuses_null_where_a_value_is_due(name: str) -> None:
    with pytest.raises(IntegrityError, match=f'null value in column "{name}"'):
        Task.create(**VALID | {name: None})


@pytest.mark.parametrize(
    "values",
    [
        {},
        METADATA,
        METADATA | {"metadata_status": "unavailable"},
        {"title": "🎉" * 200, "description": "🎉" * 10_000},
        {"tags": [f"{number:050}" for number in range(20)]},
        {"repository": "a" * 39 + "/" + "b" * 100},
        {"stars": 2**63 - 1},
    ],
)
def test_the_database_takes_what_is_within_the_rules(values: dict[str, Any]) -> None:
    assert Task.create(**VALID | values).id


def test_an_update_from_an_old_version_changes_nothing() -> None:
    task = Task.create(**VALID)
    first = Task.update_one(task.id, {"title": "First"}, [1, 7])
    assert first is not None
    assert (json.loads(first.json)["title"], first.version) == ("First", 2)
    assert Task.update_one(task.id, {"title": "Second"}, [1, 7]) is None
    assert Task.update_one(task.id, {"title": "Second"}, []) is None
    assert Task.get_by_id(task.id).title == "First"


@pytest.mark.parametrize("name", [*VALID, *METADATA, "description", "tags", "due_date"])
def test_an_update_with_what_is_there_already_is_none(name: str) -> None:
    task = Task.get_by_id(Task.create(**VALID | METADATA, tags=["a", "b"]).id)
    same = Task.update_one(task.id, {name: getattr(task, name)}, None)
    assert same is not None
    assert Task.get_by_id(task.id).__data__ == task.__data__


def test_an_update_of_one_value_among_others_is_a_version() -> None:
    task = Task.create(**VALID, tags=["a", "b"])
    values = {"title": task.title, "tags": ["b", "a"], "due_date": None}
    changed = Task.update_one(task.id, values, None)
    assert changed is not None
    assert changed.version == 2


@pytest.mark.parametrize("at_once", [False, True])
def test_a_creation_finds_other_names_of_its_repository_in_an_index(at_once: bool) -> None:
    values = Task._meta.get_default_dict() | VALID | METADATA
    database.execute_sql(
        "INSERT INTO tasks (title, status, priority, tags, repository, repository_id,"
        " metadata_status) SELECT 'x', 'open', 'low', '{}', %s, %s, 'pending'"
        " FROM generate_series(1, 5000)",
        (values["repository"], values["repository_id"]),
    )
    database.execute_sql("ANALYZE tasks")
    statement = _insert.__wrapped__(at_once, *values)
    statement._sql = f"EXPLAIN {statement._sql}"
    plan = "\n".join(line for (line,) in statement.run(**values, until=NOW).fetchall())
    assert plan.count("Index Only Scan") == plan.count("Limit") == 2, plan
    assert "Seq Scan" not in plan


def test_tasks_are_found_by_their_index_in_a_new_table_too() -> None:
    database.execute_sql("CREATE TEMPORARY TABLE tasks (LIKE tasks INCLUDING ALL)")  # goes first
    try:
        statement = _select_stored.__wrapped__()
        statement._sql = f"EXPLAIN {statement._sql}"
        plan = "\n".join(line for (line,) in statement.run(ids=[1]).fetchall())
    finally:
        database.execute_sql("DROP TABLE pg_temp.tasks")
    assert "Index Scan" in plan, plan
    assert "Seq Scan" not in plan, plan


def test_tasks_are_found_by_their_ids() -> None:
    first, second = Task.create(**VALID), Task.create(**VALID)
    found = Task.find_stored([second.id, second.id + 1, first.id])
    assert sorted(found) == [first.id, second.id]
    assert all(task.id == task_id for task_id, task in found.items())
    assert Task.find_stored([]) == {}


@pytest.mark.parametrize("name", ["pallets/bottle", "pallets/jinja"])
def test_a_creation_tells_of_another_name_of_its_repository(name: str) -> None:
    assert not Task.insert_returning(VALID | METADATA | {"repository": name}).renamed
    assert Task.insert_returning(VALID | METADATA).renamed
    assert not Task.insert_returning(VALID | METADATA | {"repository_id": 1}).renamed


@pytest.mark.parametrize("name", ["pallets/bottle", "pallets/jinja"])
def test_a_creation_at_once_stores_nothing_beside_another_name(name: str) -> None:
    assert Task.insert_at_once(VALID | METADATA | {"repository": name})
    assert Task.insert_at_once(VALID | METADATA) is None
    assert Task.insert_at_once(VALID | METADATA | {"repository_id": 1})
    assert Task.insert_at_once(VALID)
    assert Task.select().count() == 3


def test_a_creation_at_once_that_comes_too_late_stores_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(models, "ANSWER_TIMEOUT", -0.001)
    assert Task.insert_at_once(VALID) is None
    assert Task.select().count() == 0


def _described(schema: str) -> dict[str, list[Any]]:
    """Tell columns, constraints and indexes of a schema's `tasks`, free of the schema's name."""
    queries = {
        "columns": "SELECT column_name, data_type, udt_name, is_nullable, column_default,"
        " generation_expression"
        " FROM information_schema.columns WHERE table_name = 'tasks' AND table_schema = %s"
        " ORDER BY ordinal_position",
        "constraints": "SELECT conname, contype, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = (%s || '.tasks')::regclass ORDER BY conname",
        "indexes": "SELECT indexname, indexdef FROM pg_indexes"
        " WHERE tablename = 'tasks' AND schemaname = %s ORDER BY indexname",
    }
    return {
        name: [
            tuple(str(value).replace(f"{schema}.", "") for value in row)
            for row in database.execute_sql(query, (schema,)).fetchall()
        ]
        for name, query in queries.items()
    }


def test_the_migrated_schema_is_the_models() -> None:
    migrated = _described("public")
    with database.atomic() as transaction:
        database.execute_sql("CREATE SCHEMA modelled")
        database.execute_sql("SET LOCAL search_path TO modelled, public")  # where task_json is
        database.create_tables([Task], safe=False)
        modelled = _described("modelled")
        transaction.rollback()
    assert migrated == modelled
    assert len(migrated["columns"]) == len(Task._meta.fields)
