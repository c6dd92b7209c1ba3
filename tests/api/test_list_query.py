"""Parameters of a list: which values are accepted, and that none is ever an internal error."""

import base64
import json
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote_from_bytes, urlencode

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from tracker.api.parsing import QUERY_MAX
from tracker.api.schemas import ListQuerySchema
from tracker.database.models import BIGINT_MAX
from tracker.tasks.pagination import Cursor
from tracker.tasks.sorting import SORTS


def cursor(position: Any) -> str:
    """Return any JSON in the form of a cursor."""
    text = json.dumps(position, ensure_ascii=True)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("stat=open", "stat"),
        ("metadata=optional", "metadata"),
        ("status=closed", "status"),
        ("q=a&q=b", "q"),
        ("due=soon", "due"),
        ("owner=a/b", "owner"),
        ("owner=a%0A", "owner"),
        ("language=", "language"),
        ("language=C&language=C%0A", "language"),
        ("license=a_b", "license"),
        ("topic=a+b", "topic"),
        ("created_after=2030-01-01", "created_after"),
        ("updated_since=2030-13-01T00:00:00Z", "updated_since"),
        ("pushed_before=0001-01-01T00:00:00%2B23:59", "pushed_before"),
        ("completed_after=2030-01-01T00:00:00", "completed_after"),
        ("status=", "status"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=5.5", "limit"),
        ("limit=1_0", "limit"),
        ("limit=-1", "limit"),
        ("limit=" + "9" * 5_000, "limit"),
        ("sort=id", "sort"),
        ("sort=--title", "sort"),
        ("archived=yes", "archived"),
        ("archived=1", "archived"),
        ("archived=", "archived"),
        ("total=1", "total"),
        ("q=%20", "q"),
        ("due_before=soon", "due_before"),
        ("repository=flask", "repository"),
        ("tag=", "tag"),
        ("tag=" + "x" * 51, "tag"),
        ("tag=%00", "tag"),
        ("&".join(f"tag={number}" for number in range(21)), "tag"),
        ("cursor=abc", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=🎉", "cursor"),
    ],
)
def test_an_invalid_parameter_is_422_and_named(client: FlaskClient, query: str, field: str) -> None:
    response = client.get(f"/tasks?{query}")
    assert response.status_code == 422
    errors = response.get_json()["errors"]["query"]
    assert list(errors) == [field]
    assert all(isinstance(message, str) for message in errors[field])


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        ("/tasks", "foo=1", "Unknown parameter."),
        ("/tasks/1", "foo=1", "Unknown parameter."),
        ("/repositories", "foo=1", "Unknown parameter."),
        ("/changes", "foo=1", "Unknown parameter."),
        ("/rate-limit", "foo=1", "Unknown parameter."),
        ("/tasks", "limit=-1", "Must be a whole number from 1 to 100."),
        ("/tasks", "limit=101", "Must be a whole number from 1 to 100."),
        ("/tasks", "archived=1", "Must be true or false."),
        ("/tasks", "total=1", "Must be true or false."),
        ("/rate-limit", "ask=1", "Must be true or false."),
        ("/tasks", "owner=%25", "Must be 1 to 39 letters, digits, - or _."),
        ("/tasks", "topic=", "Must be 1 to 50 letters, digits or -."),
        ("/tasks", "language=", "Must be 1 to 40 ASCII characters."),
        ("/tasks", "license=a_b", "Must be 1 to 40 letters, digits, ., + or -."),
        ("/tasks", "created_after=soon", "Must be a time such as 2030-01-31T09:30:00Z."),
        (
            "/tasks",
            "created_after=2030-01-01T00:00:00+02:00",
            "Must be a time such as 2030-01-31T09:30:00Z. In a URL, write + as %2B.",
        ),
    ],
)
def test_the_message_says_which_values_a_parameter_takes(
    client: FlaskClient, path: str, query: str, message: str
) -> None:
    response = client.get(f"{path}?{query}")
    name = query.partition("=")[0]
    assert response.get_json()["errors"] == {"query": {name: [message]}}


@pytest.mark.parametrize("fraction", ["", ".5", ".50", ".5000", ".500000", ".500000999"])
def test_a_time_may_have_any_fraction_of_a_second(client: FlaskClient, fraction: str) -> None:
    loaded = ListQuerySchema().load({"created_after": f"2030-01-31T09:30:00{fraction}Z"})
    microsecond = 500_000 if fraction else 0
    expected = datetime(2030, 1, 31, 9, 30, 0, microsecond, timezone.utc)
    assert loaded["filters"]["created_after"] == expected
    assert client.get(f"/tasks?created_after=2030-01-31T09:30:00{fraction}z").status_code == 200


def test_a_list_of_values_has_each_error_once(client: FlaskClient) -> None:
    response = client.get("/tasks?status=closed&status=open&status=shut&priority=urgent")
    assert response.get_json()["errors"]["query"] == {
        "status": ["Must be one of: open, in_progress, done."],
        "priority": ["Must be one of: low, normal, high."],
    }


@pytest.mark.parametrize("query", ["cursor=", "q=", "cursor=&q=", "archived=False&total=TRUE"])
def test_a_script_may_send_empty_values_and_its_own_booleans(
    client: FlaskClient, query: str
) -> None:
    for number in range(2):
        task = {"title": str(number), "repository": "pallets/flask"}
        assert client.post("/tasks", json=task).status_code == 201
    first = client.get(f"/tasks?{query}&limit=1")
    assert [task["title"] for task in first.get_json()] == ["1"]
    url = first.headers["Link"].partition(">")[0].removeprefix("<")
    assert [task["title"] for task in client.get(url).get_json()] == ["0"]
    assert client.get("/tasks?archived=True").get_json() == []


LONGEST = {
    "tag": ["🎉" * 48 + f"{number:02}" for number in range(20)],
    "q": "🎉é" * 100,
    "repository": "https://github.com/" + "o" * 39 + "/" + "r" * 100,
    "owner": "o" * 39,
    "archived": "false",
    "fork": "false",
    "language": ["Microsoft Developer Studio Project"] * 10,
    "license": ["L" * 40] * 10,
    "topic": ["t" * 50] * 10,
    "status": ["open", "in_progress", "done"],
    "priority": ["low", "normal", "high"],
    "metadata_status": ["current", "pending", "unavailable"],
    "due": "none",
    "due_before": "9999-12-31",
    "due_after": "9999-12-31",
    "created_after": "2030-01-01T00:00:00.000000+00:00",
    "updated_since": "2030-01-01T00:00:00.000000+00:00",
    "pushed_before": "2030-01-01T00:00:00.000000+00:00",
    "completed_after": "2030-01-01T00:00:00.000000+00:00",
    "sort": "-created_at",
    "limit": "100",
    "total": "false",
}


def test_the_longest_valid_filters_fit_into_a_query(client: FlaskClient) -> None:
    assert LONGEST.keys() == ListQuerySchema().fields.keys() - {"cursor"}
    query = urlencode(LONGEST, doseq=True)
    assert 0.8 * QUERY_MAX < len(query) < QUERY_MAX
    assert client.get(f"/tasks?{query}").status_code == 200
    assert client.get(f"/tasks?{query}&cursor={'c' * QUERY_MAX}").status_code == 422


@pytest.mark.parametrize("letter", ["+", "%20", " "])
def test_a_query_over_its_limit_is_422(client: FlaskClient, letter: str) -> None:
    tag, padding = "tag=a", QUERY_MAX - len("tag=a")
    fits = client.get(f"/tasks?{tag}{letter * padding}")
    assert fits.status_code == 200
    response = client.get(f"/tasks?{tag}{letter * (padding + 1)}")
    assert response.status_code == 422
    message = "Query exceeds the limit of 16,384 bytes."
    assert response.get_json()["errors"] == {"query": {"_schema": [message]}}


@pytest.mark.parametrize(
    ("sort", "position"),
    [
        ("-created_at", []),
        ("-created_at", {}),
        ("-created_at", None),
        ("-created_at", 5),
        ("-created_at", "abc"),
        ("-created_at", {"-created_at": 1, "b": 2, "c": 3}),
        ("-created_at", [["-created_at"], None, 1]),
        ("-created_at", ["title", "x", 1]),
        ("-created_at", ["-created_at", 5, 1]),
        ("-created_at", ["-created_at", None, 1]),
        ("-created_at", ["-created_at", {}, 1]),
        ("-created_at", ["-created_at", "0001-01-01T00:00:00+23:59", 1]),
        ("-created_at", ["-created_at", "9999-12-31T23:59:59-23:59", 1]),
        ("-created_at", ["-created_at", "2030-01-01T00:00:00", 1]),
        ("-created_at", ["-created_at", "2030-01-01T00:00:00Z", None]),
        ("-created_at", ["-created_at", "2030-01-01T00:00:00Z", 1, 1]),
        ("title", ["title", 5, 1]),
        ("title", ["title", None, 1]),
        ("title", ["title", "nul\0", 1]),
        ("title", ["title", "half \ud800", 1]),
        ("stars", ["stars", 2**63, 1]),
        ("stars", ["stars", True, 1]),
        ("stars", ["stars", 1.5, 1]),
        ("stars", ["stars", float("nan"), 1]),
        ("stars", ["stars", -1, 1]),
        ("stars", ["stars", 5, 2**63]),
        ("stars", ["stars", 5, -1]),
        ("stars", ["stars", 5, True]),
        ("stars", ["stars", 5, "1; DROP TABLE tasks"]),
        ("due_date", ["due_date", "tomorrow", 1]),
        ("due_date", ["due_date", 20300101, 1]),
        ("priority", ["priority", 0, 1]),
        ("priority", ["priority", 4, 1]),
        ("priority", ["priority", 2**31, 1]),
        ("priority", ["priority", "high", 1]),
    ],
)
def test_a_cursor_that_no_list_returned_is_422(
    client: FlaskClient, sort: str, position: Any
) -> None:
    response = client.get(f"/tasks?sort={sort}&cursor={cursor(position)}")
    assert response.status_code == 422
    message = "Is not a cursor of this list and sort."
    assert response.get_json()["errors"]["query"] == {"cursor": [message]}


@pytest.mark.parametrize("depth", [500, 200_000])
def test_a_deeply_nested_cursor_is_422(client: FlaskClient, depth: int) -> None:
    nested = base64.urlsafe_b64encode(b"[" * depth + b"]" * depth).decode().rstrip("=")
    assert client.get(f"/tasks?cursor={nested}").status_code == 422


@pytest.mark.parametrize(
    ("sort", "values"),
    [
        ("created_at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"]),
        ("created_at", ["2030-01-01T00:00:00+23:59", "2030-01-01T00:00:00-23:59"]),
        ("pushed_at", ["2030-01-01T00:00:00Z", None]),
        ("completed_at", ["2030-01-01T00:00:00Z", None]),
        ("due_date", ["0001-01-01", "9999-12-31", None]),
        ("priority", [1, 3]),
        ("stars", [0, BIGINT_MAX, None]),
        ("title", ["", "x" * 200, "a'b\\c%s"]),
    ],
)
@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("filters", ["", "&status=open"])
def test_a_cursor_with_any_value_of_its_column_is_a_page(
    client: FlaskClient, sort: str, values: list[Any], sign: str, filters: str
) -> None:
    for value in values:
        for task_id in (0, BIGINT_MAX):
            after = Cursor(sign + sort, value, task_id)
            response = client.get(f"/tasks?sort={sign}{sort}&cursor={after}{filters}")
            assert response.status_code == 200, (value, response.json)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(sort=st.sampled_from(SORTS), position=json_values)
def test_any_json_in_a_cursor_is_422(client: FlaskClient, sort: str, position: Any) -> None:
    response = client.get(f"/tasks?sort={sort}&cursor={cursor(position)}")
    assert response.status_code == 422


@given(sort=st.sampled_from(SORTS), value=json_values, task_id=json_values)
def test_any_value_in_a_cursor_is_a_page_or_422(
    client: FlaskClient, sort: str, value: Any, task_id: Any
) -> None:
    for position in ([sort, value, task_id], [sort, value, 1]):
        response = client.get(f"/tasks?sort={sort}&cursor={cursor(position)}")
        assert response.status_code in (200, 422)


names = st.sampled_from([*ListQuerySchema().fields, "metadata", "", "\0", "é"])
raw_values = st.binary(max_size=40) | st.text(max_size=20).map(
    lambda text: text.encode("utf-8", "surrogatepass")
)


@given(pairs=st.lists(st.tuples(names, raw_values), max_size=4), escaped=st.booleans())
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_any_bytes_in_any_parameter_are_no_500(
    client: FlaskClient, method: str, pairs: list[tuple[str, bytes]], escaped: bool
) -> None:
    encode = quote_from_bytes if escaped else lambda value: value.decode("latin1")
    query = "&".join(f"{encode(name.encode())}={encode(value)}" for name, value in pairs)
    response = client.open(
        "/tasks", method=method, json={}, environ_overrides={"QUERY_STRING": query}
    )
    assert response.status_code in (200, 400, 422)


@pytest.mark.parametrize("query", ["q=%FF", "tag=%FF", "q=%ED%A0%80", "tag=a&tag=%C3", "%FF=1"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_percent_encoded_bytes_that_are_not_utf_8_are_400(
    client: FlaskClient, method: str, query: str
) -> None:
    task = {"title": "t", "repository": "pallets/flask", "tags": ["a", "%FF"]}
    path = client.post("/tasks", json=task).headers["Location"]
    response = client.open(f"/tasks?{query}", method=method)
    assert (response.status_code, response.get_json()["reason"]) == (400, "malformed_query")
    assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [("/tasks", 400), ("/tasks//5", 308), ("/tasks/5", 400), ("/nope", 404), ("/docs", 200)],
)
def test_a_query_that_is_not_utf_8_is_no_500(client: FlaskClient, path: str, status: int) -> None:
    response = client.get(path, environ_overrides={"QUERY_STRING": "q=\xff"}, buffered=True)
    assert response.status_code == status
