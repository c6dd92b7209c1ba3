"""Statements on tasks: what they store and return, and by which index they find it."""

import json
import re
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samples import METADATA, TASK
from tracker.api.schemas import TaskSchema
from tracker.database import changes, queries
from tracker.database.connection import database
from tracker.database.models import BIGINT_MAX, Task

pytestmark = pytest.mark.usefixtures("checked_out")


def add(**values: Any) -> int:
    return queries.insert_task(TASK | values).id


def read(task_id: int) -> dict[str, Any]:
    return dict(json.loads(queries.read_tasks([task_id])[task_id].json))


def test_an_update_from_another_version_changes_nothing() -> None:
    task_id = add()
    first = queries.update_task(task_id, {"title": "First"}, [1, 7])
    assert first is not None
    assert (json.loads(first.json)["title"], first.version, first.etag) == ("First", 2, '"2"')
    assert queries.update_task(task_id, {"title": "Second"}, [1, 7]) is None
    assert queries.update_task(task_id, {"title": "Second"}, []) is None
    assert read(task_id)["title"] == "First"


@pytest.mark.parametrize("name", [*TASK, *METADATA, "description", "tags", "due_date"])
def test_an_update_with_the_same_value_changes_no_version(name: str) -> None:
    task = Task.get_by_id(add(**METADATA, tags=["a", "b"]))
    updated = queries.update_task(task.id, {name: getattr(task, name)}, None)
    assert updated == queries.read_tasks([task.id])[task.id]
    assert Task.get_by_id(task.id).__data__ == task.__data__


def test_an_update_of_one_value_among_others_is_one_version() -> None:
    task_id = add(tags=["a", "b"])
    values = {"title": TASK["title"], "tags": ["b", "a"], "due_date": None}
    updated = queries.update_task(task_id, values, None)
    assert updated is not None
    assert updated.version == 2


def test_a_deletion_from_another_version_deletes_nothing() -> None:
    task_id = add()
    assert not queries.delete_task(task_id, [2, 7])
    assert not queries.delete_task(task_id, [])
    assert queries.delete_task(task_id, [1])
    assert not queries.delete_task(task_id, None)


def test_tasks_are_read_by_their_ids() -> None:
    first, second = add(), add()
    found = queries.read_tasks([second, second + 1, first])
    assert sorted(found) == [first, second]
    assert all(task.id == task_id for task_id, task in found.items())
    assert queries.read_tasks([]) == {}


def names(repository_id: int) -> set[str]:
    return {facts["repository"] for facts in changes.end_facts(repository_id)}


@pytest.mark.parametrize("name", ["pallets/bottle", "pallets/jinja"])
def test_another_name_of_a_repository_is_found(name: str) -> None:
    add(**METADATA)
    assert names(596892) == {"pallets/flask"}
    add(**METADATA | {"repository": name})
    assert names(596892) == {"pallets/flask", name}
    assert names(1) == set()


def explained(call: Callable[[], Any]) -> str:
    """Return the plans of the prepared statements that a call executes."""
    plans: list[str] = []

    def explain(event: Any) -> None:
        if event.sql.startswith("EXECUTE"):
            with database.connection().cursor() as cursor:
                cursor.execute(f"EXPLAIN {event.sql}", event.params)
                plans.extend(line for (line,) in cursor.fetchall())

    database.query_hooks.append(explain)
    try:
        call()
    finally:
        database.query_hooks.remove(explain)
    return "\n".join(plans)


def test_another_name_is_found_without_reading_every_task() -> None:
    database.execute_sql(
        "INSERT INTO tasks (title, status, priority, tags, repository, repository_id,"
        " metadata_status) SELECT 'x', 'open', 'low', '{}', 'pallets/flask', 596892, 'pending'"
        " FROM generate_series(1, 5000)"
    )
    database.execute_sql("ANALYZE tasks")
    plan = explained(lambda: changes.end_facts(596892))
    assert plan.count("Index Scan") == plan.count("Limit") == 2, plan
    assert "Seq Scan" not in plan, plan


def test_a_table_without_statistics_is_read_by_its_index() -> None:
    database.execute_sql(
        "CREATE TEMPORARY TABLE tasks (LIKE tasks INCLUDING ALL)"
    )  # takes precedence
    try:
        plan = explained(lambda: queries.read_tasks([1]))
    finally:
        database.execute_sql("DROP TABLE pg_temp.tasks")
    assert "Index Scan" in plan, plan
    assert "Seq Scan" not in plan, plan


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
TAG = st.text('aé🎉\\"{},\u2028\x7f\x01', min_size=1, max_size=5)
WHOLE_SECOND = datetime(2030, 1, 1, tzinfo=timezone.utc)
TIME = st.datetimes(timezones=st.just(timezone.utc)) | st.just(WHOLE_SECOND)


@given(
    values=st.fixed_dictionaries(
        {
            "description": st.none() | TEXT,
            "tags": st.lists(TAG, max_size=3),
            "due_date": st.none() | st.dates(),
            "repository_description": st.none() | TEXT,
            "repository_url": st.sampled_from([None, "https://github.com/a/b"]),
            "language": st.none() | TEXT,
            "stars": st.none() | st.integers(0, BIGINT_MAX),
            "archived": st.none() | st.booleans(),
            "pushed_at": st.none() | TIME,
            "metadata_fetched_at": st.none() | TIME,
            "version": st.integers(1, BIGINT_MAX - 1),
        }
    )
)
def test_the_json_of_a_task_has_the_stored_values(values: dict[str, Any]) -> None:
    inserted = queries.insert_task(TASK | values)
    task_id = inserted.id
    assert inserted == queries.read_tasks([task_id])[task_id]
    updated = queries.update_task(task_id, {"title": "Another"}, None)
    assert updated == queries.read_tasks([task_id])[task_id]
    stored, found = Task.get_by_id(task_id), read(task_id)
    assert list(found) == [field.name for field in Task.public_fields()]
    assert TaskSchema().load(found) == {name: getattr(stored, name) for name in found}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", found["created_at"])
