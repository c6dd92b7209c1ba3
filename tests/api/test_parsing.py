"""Request bodies: strict JSON, limits of size, and errors of bounded number and cost."""

import gc
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tracker.api.parsing import BODY_MAX, ERRORS_MAX
from tracker.strict_json import KEY_MAX, MEMBERS_MAX

TASK = {"title": "Read the docs", "repository": "pallets/flask"}
SEVERAL = 5  # times the CPU time of a valid body of the same size


def post(client: FlaskClient, body: bytes | str) -> TestResponse:
    return client.post("/tasks", data=body, content_type="application/json")


@pytest.mark.parametrize("body", [[], [TASK], "text", 5, True, None])
def test_a_body_that_is_no_object_is_422(client: FlaskClient, body: Any) -> None:
    response = post(client, json.dumps(body))
    assert response.status_code == 422
    assert response.get_json()["errors"] == {"json": {"_schema": ["Must be a JSON object."]}}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"{'title': 1}", "Expecting property name"),
        (b'{"title": NaN}', "NaN is not a JSON number"),
        (b'{"title": -Infinity}', "-Infinity is not a JSON number"),
        (b'{"title": 1, "title": 2}', 'the key "title" is repeated in an object'),
        (b'{"a": {"title": 1, "title": 2}}', 'the key "title" is repeated in an object'),
        (b'{"title": ' + b"9" * 5_000 + b"}", "a number has more than 1,000 digits"),
        *(
            ('{"title": "\xff"}'.encode(encoding), "must be UTF-8, without a byte order mark")
            for encoding in ("latin1", "utf-16", "utf-8-sig")
        ),
        (b'{"title": "raw \n break"}', "Invalid control character"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_malformed_json_is_400_and_says_why(client: FlaskClient, body: bytes, reason: str) -> None:
    response = post(client, body)
    assert response.status_code == 400
    assert reason in response.get_json()["message"]


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "text/json", "x"]
)
def test_a_body_not_declared_as_json_is_415(client: FlaskClient, content_type: str | None) -> None:
    response = client.post("/tasks", data=b"{}", content_type=content_type)
    assert response.status_code == 415
    assert "Content-Type: application/json" in response.get_json()["message"]


def test_the_longest_valid_task_fits_fully_escaped(client: FlaskClient) -> None:
    def escaped(length: int) -> str:
        return r"\ud83c\udf89" * length

    tags = ",".join(f'"{escaped(48)}{number:02}"' for number in range(20))
    body = (
        f'{{"title": "{escaped(200)}", "description": "{escaped(10_000)}", "tags": [{tags}],'
        ' "status": "in_progress", "priority": "normal", "due_date": "2030-01-31",'
        ' "repository": "pallets/flask"}'
    )
    assert post(client, body).status_code == 201


def padded(frame: bytes, size: int = BODY_MAX) -> bytes:
    """Return a body of exactly `size` bytes, with `@` filled up."""
    return frame.replace(b"@", b"x" * (size - len(frame) + 1))


@pytest.mark.parametrize(("size", "status"), [(BODY_MAX, 422), (BODY_MAX + 1, 413)])
def test_a_body_over_256_kib_is_413(client: FlaskClient, size: int, status: int) -> None:
    response = post(client, padded(b'{"padding": "@"}', size))
    assert response.status_code == status
    if status == 413:
        assert response.get_json()["message"] == "Request body exceeds the 256 KiB limit."


def test_an_object_has_a_limited_number_of_members(client: FlaskClient) -> None:
    members = {str(number): number for number in range(MEMBERS_MAX)}
    assert post(client, json.dumps(members)).status_code == 422
    response = post(client, json.dumps(members | {"one": "more"}))
    assert response.status_code == 400
    assert "an object has more than 1,000 members" in response.get_json()["message"]


@pytest.mark.parametrize(
    "body",
    [
        {f"unknown-{number}-{'x' * 200}": number for number in range(MEMBERS_MAX)},
        TASK | {"tags": [""] * 60_000},
        TASK | {"tags": ["x" * 51] * 20},
        TASK | {"x" * 250_000: 1},
    ],
)
def test_the_errors_of_a_large_body_are_a_small_response(
    client: FlaskClient, body: dict[str, Any]
) -> None:
    response = post(client, json.dumps(body))
    assert response.status_code == 422
    assert len(response.data) < 5_000
    errors = response.get_json()["errors"]["json"]
    more = errors.pop("_more", None)
    if len(body) > ERRORS_MAX:
        assert len(errors) == ERRORS_MAX
        assert more == [f"{len(body) + 2 - ERRORS_MAX} further errors."]  # two fields are missing
    assert max(map(len, errors)) <= KEY_MAX


def test_a_long_repeated_key_is_cut_in_the_message(client: FlaskClient) -> None:
    key = "k" * 100_000
    response = post(client, f'{{"{key}": 1, "{key}": 2}}')
    assert response.status_code == 400
    assert len(response.get_json()["message"]) < 2 * KEY_MAX


def test_the_errors_of_a_long_query_are_a_small_response(client: FlaskClient) -> None:
    query = "&".join(f"unknown-{number}=x" for number in range(500))
    for url in (f"/tasks?{query}", f"/tasks?{query}&{query}"):
        response = client.get(url)
        assert response.status_code == 422
        assert len(response.get_json()["errors"]["query"]) == ERRORS_MAX + 1


def test_a_view_takes_only_the_parameters_that_it_declares(
    client: FlaskClient, routes: Callable[[Flask], list[tuple[str, str]]]
) -> None:
    path = client.post("/tasks", json=TASK).headers["Location"]
    task = client.get(path).get_json()
    found = set()
    for method, route in routes(client.application):
        url = route.replace("/tasks/1", path).format(owner="pallets", name="flask")
        if method == "OPTIONS" or not url.startswith(("/tasks", "/repo", "/ch", "/ra", "/m")):
            continue
        body = {} if method == "PATCH" else TASK
        response = client.open(f"{url}?x=1", method=method, json=body)
        assert response.status_code == 422, (method, url)
        found.add((method, route))
    assert len(found) > 20
    assert client.get(path).get_json() == task
    for url in ("/health/live", "/health/ready"):
        assert client.get(f"{url}?x=1").status_code == 200


def distinct(number: int) -> str:
    return ",".join(f'"{key:05}":{key}' for key in range(number))


BODIES: dict[str, Callable[[], bytes | str]] = {
    "19,000 keys and the last one again": lambda: "{" + distinct(19_000) + ',"18999":1}',
    "900 long keys and the last one again": lambda: (
        "{" + ",".join(f'"{key:0280}":1' for key in [*range(900), 899]) + "}"
    ),
    "60,000 bad tags": lambda: json.dumps(TASK | {"tags": [""] * 60_000}),
    "80,000 numbers as tags": lambda: json.dumps(TASK | {"tags": [1] * 80_000}),
    "a title of blanks": lambda: padded(b'{"title": "@"}').replace(b"x", b" "),
    "a title of line breaks": lambda: json.dumps(TASK | {"title": "\n" * 120_000}),
    "a title of accents": lambda: '{"title": "a' + "\u0316\u0301" * 60_000 + '"}',
    "a tag of accents": lambda: '{"tags": ["' + "\u0301\u0316" * 60_000 + '"]}',
    "a date of digits": lambda: padded(b'{"due_date": "@"}').replace(b"x", b"1"),
    "a repository of slashes": lambda: padded(b'{"repository": "@"}').replace(b"x", b"/"),
    "a repository of dots": lambda: padded(b'{"repository": "a/@"}').replace(b"x", b"."),
    "a repository of dashes": lambda: padded(b'{"repository": "a-@/b"}').replace(b"x", b"-"),
    "a repository of URLs": lambda: json.dumps(
        TASK | {"repository": "https://github.com/" * 13_000}
    ),
    "a repository of colons": lambda: padded(b'{"repository": "git:@/b"}').replace(b"x", b":"),
    "a repository of blanks": lambda: padded(b'{"repository": "a @ b"}').replace(b"x", b" "),
    "a repository of quotes": lambda: padded(b'{"repository": "\'@\'"}').replace(b"x", b"'"),
    "nested arrays": lambda: '{"tags": ' + "[" * 900 + "]" * 900 + "}",
    "many arrays": lambda: '{"tags": [' + ",".join(["[]"] * 80_000) + "]}",
}


def cpu_time(client: FlaskClient, body: bytes | str) -> float:
    """Return the least CPU time of three requests, in seconds."""
    times = []
    gc.disable()  # a collection would take as long as the other tests' objects are many
    try:
        for _ in range(3):
            started = time.process_time()
            assert post(client, body).status_code in (400, 422)
            times.append(time.process_time() - started)
    finally:
        gc.enable()
    return min(times)


@pytest.mark.parametrize("name", BODIES)
def test_no_body_costs_much_more_than_a_plain_one(client: FlaskClient, name: str) -> None:
    rows = ",".join(["{" + distinct(100) + "}"] * 220)
    plain = f'{{"title": "x", "rows": [{rows}]}}'
    assert 0.8 * BODY_MAX < len(plain) < BODY_MAX
    assert cpu_time(client, BODIES[name]()) < SEVERAL * cpu_time(client, plain)
