"""The rules of a task, as the database itself enforces them."""

from typing import Any

import pytest
from peewee import IntegrityError

from samples import METADATA, TASK
from tracker.database.models import Task

pytestmark = pytest.mark.usefixtures("checked_out")


@pytest.mark.parametrize(
    ("constraint", "values"),
    [
        ("tasks_title_length", {"title": ""}),
        ("tasks_title_length", {"title": "x" * 201}),
        ("tasks_title_line", {"title": " padded "}),
        ("tasks_title_line", {"title": "two\nlines"}),
        ("tasks_title_visible", {"title": "\u200b\u3164"}),
        ("tasks_title_nfc", {"title": "cafe\u0301"}),
        ("tasks_tags_nfc", {"tags": ["good", "cafe\u0301"]}),
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
            if name not in {"metadata_status", "repository_id"}
        ],
    ],
)
def test_the_database_refuses_a_value_beyond_the_rules(
    constraint: str, values: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError, match=constraint):
        Task.create(**TASK | values)


@pytest.mark.parametrize("name", ["title", "status", "priority", "tags", "repository", "version"])
def test_the_database_refuses_null_in_a_required_column(name: str) -> None:
    with pytest.raises(IntegrityError, match=f'null value in column "{name}"'):
        Task.create(**TASK | {name: None})


@pytest.mark.parametrize(
    "values",
    [
        {},
        METADATA,
        METADATA | {"metadata_status": "unavailable"},
        METADATA | {"repository_id": None},  # as restored from an export
        {"title": "🎉" * 200, "description": "🎉" * 10_000},
        {"tags": [f"{number:050}" for number in range(20)]},
        {"repository": "a" * 39 + "/" + "b" * 100},
        {"stars": 2**63 - 1},
    ],
)
def test_the_database_accepts_values_within_the_rules(values: dict[str, Any]) -> None:
    assert Task.create(**TASK | values).id
