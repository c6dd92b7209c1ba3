"""Fields of a task: their limits, and what an invalid value gets."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from tracker.demo.github import GitHub

TASK = {"title": "Read the docs", "repository": "pallets/flask"}


def test_a_valid_task_is_stored_as_it_was_sent(client: FlaskClient) -> None:
    sent = {
        "title": "Naïve 🎉 title",
        "description": "one\ntwo\t ",
        "status": "in_progress",
        "priority": "high",
        "tags": ["b", "a"],
        "due_date": "2030-01-31",
        "repository": "pallets/flask",
        "issue": 5000,
    }
    task = client.post("/tasks", json=sent).get_json()
    assert {name: task[name] for name in sent} == sent
    assert client.get(f"/tasks/{task['id']}").get_json() == task


def test_blanks_duplicate_tags_and_urls_are_tidied(client: FlaskClient) -> None:
    sent = {"title": "  Trim me\n", "tags": [" a ", "b", "a"]}
    sent["repository"] = "https://github.com/PALLETS/Flask.git"
    task = client.post("/tasks", json=sent).get_json()
    assert task["title"] == "Trim me"
    assert task["tags"] == ["a", "b"]
    assert task["repository"] == "pallets/flask"


def test_titles_and_tags_are_stored_in_nfc(client: FlaskClient) -> None:
    sent = {"title": "Cafe\u0301", "tags": ["cafe\u0301"], "description": "cafe\u0301"}
    task = client.post("/tasks", json=TASK | sent).get_json()
    assert (task["title"], task["tags"]) == ("Caf\u00e9", ["caf\u00e9"])
    assert task["description"] == sent["description"]


def test_tags_are_one_exactly_if_a_filter_takes_them_for_one(client: FlaskClient) -> None:
    sent = ["\u039f\u03a3", "\u03bf\u03c2", "\u03bf\u03c3"]  # a final sigma is another letter
    response = client.post("/tasks", json=TASK | {"tags": sent})
    assert response.get_json()["tags"] == sent[:2]
    for tag in sent:
        assert len(client.get("/tasks", query_string={"tag": tag}).get_json()) == 1
    added = client.patch("/tasks", query_string={"tag": sent[0]}, json={"add_tags": sent})
    assert added.get_json()["changed"] == 0


def test_tags_that_differ_by_case_are_one_as_first_written(client: FlaskClient) -> None:
    sent = {"tags": ["Upgrade", "b", "UPGRADE", "\u00c4", "\u00e4", "upgrade"]}
    task = client.post("/tasks", json=TASK | sent).get_json()
    assert task["tags"] == ["Upgrade", "b", "\u00c4"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "x" * 200),
        ("title", "🎉" * 200),
        ("title", "\u1f82" * 200),
        ("title", "\u03b1\u0313\u0300\u0345" * 200),
        ("title", "\ue0b0"),
        ("title", "  " + "x" * 200 + "  "),
        ("description", "🎉" * 10_000),
        ("description", ""),
        ("tags", [f"{number:050}" for number in range(20)]),
        ("tags", ["same"] * 20),
        ("due_date", "0001-01-01"),
        ("due_date", "9999-12-31"),
    ],
)
def test_a_value_at_its_limit_is_stored(client: FlaskClient, field: str, value: Any) -> None:
    response = client.post("/tasks", json=TASK | {field: value})
    assert response.status_code == 201
    task = response.get_json()
    assert client.get(f"/tasks/{task['id']}").get_json() == task


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("title", None, "Field may not be null."),
        ("title", "", "Length must be between 1 and 200."),
        ("title", " \n\t ", "Length must be between 1 and 200."),
        ("title", "x" * 201, "Length must be between 1 and 200."),
        ("title", "two\nlines", "Must be one line."),
        ("title", "two\u2028lines", "Must be one line."),
        *(
            ("title", value, "Must contain a visible character.")
            for value in (
                "\u200b",
                "\u3164",
                "\u2800\u00ad",
                "\u0301",
                "\ufe0f \u200d",
                "\u3099\u05b0",
                "\U0001bca0",
            )
        ),
        ("title", "\u0958" * 101, "Length must be between 1 and 200."),
        ("title", 5, "Not a valid string."),
        ("title", "nul\0", "Must not contain a NUL character."),
        ("title", "half \ud83d", "Must not contain half of a surrogate pair."),
        ("description", "x" * 10_001, "Longer than maximum length 10000."),
        ("description", "nul\0", "Must not contain a NUL character."),
        ("description", "half \udc00", "Must not contain half of a surrogate pair."),
        ("status", "closed", "Must be one of: open, in_progress, done."),
        ("status", None, "Field may not be null."),
        ("status", ["open"], "Not a valid string."),
        ("priority", "urgent", "Must be one of: low, normal, high."),
        ("tags", "flask", "Not a valid list."),
        ("tags", None, "Field may not be null."),
        ("tags", [str(number) for number in range(21)], "Longer than maximum length 20."),
        ("due_date", "2030-02-30", "This day does not exist."),
        ("due_date", "0000-01-01", "This day does not exist."),
        *(
            ("due_date", value, "Must be a date as YYYY-MM-DD.")
            for value in ("20300131", "2030-W05-4", "2030-01-31T00:00:00", "٢٠٣٠-٠١-٣١", 20300131)
        ),
        ("repository", 5, "Not a valid string."),
        ("prio", 7, "Unknown field."),
        ("repository_id", 7, "Unknown field."),
    ],
)
def test_an_invalid_field_is_named_and_nothing_is_stored(
    client: FlaskClient, github: GitHub, field: str, value: Any, message: str
) -> None:
    response = client.post("/tasks", json=TASK | {field: value})
    assert response.status_code == 422
    assert response.get_json()["errors"] == {"json": {field: [message]}}
    assert client.get("/tasks").get_json() == []
    assert github.calls == []


def test_invalid_tags_are_named_by_their_index(client: FlaskClient) -> None:
    response = client.post("/tasks", json=TASK | {"tags": ["good", "", "x" * 51, 3, "a\nb"]})
    assert response.status_code == 422
    assert response.get_json()["errors"]["json"]["tags"] == {
        "1": ["Length must be between 1 and 50."],
        "2": ["Length must be between 1 and 50."],
        "3": ["Not a valid string."],
        "4": ["Must be one line."],
    }


def test_all_missing_fields_are_named_at_once(client: FlaskClient) -> None:
    response = client.post("/tasks", json={})
    assert response.status_code == 422
    missing = ["Missing data for required field."]
    assert response.get_json()["errors"]["json"] == {"title": missing, "repository": missing}
