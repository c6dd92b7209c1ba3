"""The list of tasks, its adding line and its buttons, without JavaScript."""

import csv
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tracker.database.connection import connection, database
from tracker.demo.github import GitHub
from tracker.tasks import counts

Get = Callable[..., TestResponse]
Create = Callable[..., dict[str, Any]]


def shown(response: TestResponse) -> list[int]:
    """Return the ids of the tasks on a page, in its order."""
    return [int(number) for number in re.findall(r'<li id="t(\d+)"', response.text)]


def hidden(response: TestResponse, name: str) -> str:
    """Return the value of a hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', response.text)
    assert found
    return found[1]


def test_the_list_is_that_of_the_api(client: FlaskClient, get: Get, create: Create) -> None:
    for number in range(5):
        create(title=f"task {number}", tags=["even"] if number % 2 == 0 else [])
    for query in ("", "?tag=even", "?sort=title&limit=2", "?q=task&tag=EVEN", "?status=done"):
        tasks = client.get(f"/tasks{query}").get_json()
        response = get(f"/{query}")
        assert (response.status_code, response.mimetype) == (200, "text/html")
        assert shown(response) == [task["id"] for task in tasks]
        total = client.get(f"/tasks{query}{'&' if query else '?'}total=true").headers
        assert f'data-total="{total["X-Total-Count"]}"' in response.text
        found = re.findall('<a href="(/tasks[^"]*)">(?:JSON|CSV)</a>', response.text)
        listed, exported = (link.replace("&amp;", "&") for link in found)
        assert client.get(listed).get_json() == tasks
        rows = [*csv.reader(client.get(exported, buffered=True).text.splitlines(keepends=True))]
        assert len(rows) == 1 + int(total["X-Total-Count"])


def test_pages_lead_to_every_task_once(get: Get, create: Create) -> None:
    ids = [create(title=f"task {number}")["id"] for number in range(5)]
    path, found = "/?sort=created_at&limit=2&q=task", []
    while path:
        response = get(path)
        found += shown(response)
        link = re.search(r'rel="next" href="/([^"]*)"', response.text)
        path = "/" + link[1].replace("&amp;", "&") if link else ""
    assert found == ids


def test_a_bad_query_is_shown_with_the_message_of_the_api(client: FlaskClient, get: Get) -> None:
    for query in ("status=opn", "nope=1", "limit=0", "cursor=x", "owner=a&owner=b", "q=-a"):
        api = client.get(f"/tasks?{query}").get_json()
        (message,) = {str(text) for text in re.findall(r'"([^"]+\.)"', str(api["errors"]))} or {""}
        response = get(f"/?{query}")
        assert response.status_code == 422
        assert message in response.text.replace("&#39;", "'")
        assert client.get(f"/?{query}").get_json()["errors"] == api["errors"]


def test_the_search_form_leads_to_the_query_of_the_api(get: Get) -> None:
    response = get("/", query_string={"search": 'tag:"a b" flask err', "sort": "due_date"})
    assert response.status_code == 303
    assert response.headers["Location"] == "/?tag=a+b&q=flask+err&sort=due_date"
    assert get("/", query_string={"search": " ", "sort": "-created_at"}).location == "/"
    assert 'value="tag:&#34;a b&#34; flask err"' in get("/?tag=a+b&q=flask+err").text


def test_a_line_creates_a_task_once(client: FlaskClient, get: Get, post: Get) -> None:
    page = get("/?sort=title")
    form = {name: hidden(page, name) for name in ("key", "next")}
    line = "https://github.com/pallets/flask/issues/12 Try it +upgrade due:2030-01-31 !high"
    for _ in range(2):
        response = post("/web/tasks", line=line, **form)
        assert response.status_code == 303
    (task,) = client.get("/tasks").get_json()
    assert response.headers["Location"] == f"/?sort=title#t{task['id']}"
    expected = {
        "title": "Try it",
        "repository": "pallets/flask",
        "issue": 12,
        "tags": ["upgrade"],
        "due_date": "2030-01-31",
        "priority": "high",
    }
    assert {name: task[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("pallets/flask", "pallets/flask"),
        ("pallets/flask#7", "pallets/flask#7"),
        ("git clone https://github.com/pallets/flask.git Build it", "Build it"),
        ("pallets/flask Document git clone steps", "Document git clone steps"),
        (r"pallets/flask Say \+1 -- due:fri", "Say +1 due:fri"),
    ],
)
def test_a_line_has_a_repository_and_a_title(
    client: FlaskClient, get: Get, post: Get, line: str, title: str
) -> None:
    assert post("/web/tasks", line=line, key=hidden(get("/"), "key")).status_code == 303
    assert client.get("/tasks").get_json()[0]["title"] == title


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("", 422, "Start with a repository"),
        ("nonsense", 422, "repository:"),
        ("pallets/flask x due:someday", 422, "&#39;someday&#39; is no date"),
        ("pallets/flask " + "x" * 201, 422, "title: Length must be between 1 and 200."),
        ("pallets/none x", 422, "pallets/none"),
        ("faults/503 x", 502, "GitHub failed with status 503; try again later."),
    ],
)
def test_a_refused_line_is_kept_with_the_reason(
    client: FlaskClient, get: Get, post: Get, line: str, status: int, message: str
) -> None:
    response = post("/web/tasks", line=line, key=hidden(get("/"), "key"))
    assert response.status_code == status
    assert message in response.text
    assert f'name="line" value="{line}"' in response.text
    assert ("Save without metadata" in response.text) == (status == 502)
    assert client.get("/tasks").get_json() == []
    assert post("/web/tasks", line="pallets/flask x", key="a b").status_code == 422


def test_a_task_can_be_saved_without_metadata(client: FlaskClient, get: Get, post: Get) -> None:
    form = {"line": "faults/503 Wait", "key": hidden(get("/"), "key"), "metadata": "optional"}
    assert post("/web/tasks", **form).status_code == 303
    assert client.get("/tasks").get_json()[0]["metadata_status"] == "pending"


def test_buttons_and_boxes_change_the_status(
    client: FlaskClient, get: Get, post: Get, create: Create
) -> None:
    first, second, third = (create()["id"] for _ in range(3))
    assert post("/web/rows", done=f"{first}.1", next="/?q=x").location == "/?q=x"
    response = client.post("/web/rows", data={"task": [f"{second}.1", f"{third}.1"], "done": ""})
    assert response.status_code == 303
    statuses = [task["status"] for task in client.get("/tasks").get_json()]
    assert statuses == ["done"] * 3
    post("/web/rows", reopen=f"{first}.2")
    assert client.get(f"/tasks/{first}").get_json()["status"] == "open"
    response = post("/web/rows", done="", task=[f"{first}.1", f"{second}.2"])
    assert "1 changed, 1 not: The task has changed since you read it" in response.text
    response = post("/web/rows", done=f"{first}.1")
    assert response.status_code == 412
    assert "The task has changed since you read it" in response.text
    assert post("/web/rows", done="x").status_code == 422


@pytest.mark.parametrize(
    "address", ["//evil.example", "/\\evil.example", "https://evil.example", "x", "/a\nb", "/ "]
)
def test_a_form_returns_to_a_path_of_this_service_only(post: Get, address: str) -> None:
    assert post("/web/rows", next=address).location == "/"


def test_days_are_those_of_the_browser(client: FlaskClient, get: Get, create: Create) -> None:
    day = (datetime.now(timezone.utc) + timedelta(hours=14)).date()
    create(due_date=day.isoformat())
    client.set_cookie("offset", "840")  # minutes; the script sets it
    assert ">today</time>" in get("/").text
    client.set_cookie("offset", "-720")  # 26 hours earlier is always another day
    assert ">today</time>" not in get("/").text
    assert get("/web/preview?line=a/b due:today").get_json()["fields"]["due_date"] < day.isoformat()
    client.set_cookie("offset", "soon")
    assert get("/").status_code == 200


def test_the_main_views_have_their_numbers(
    client: FlaskClient, get: Get, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    for status in ("open", "in_progress", "done"):
        create(status=status, repository="moby/moby" if status == "done" else "pallets/flask")
    with connection():
        database.execute_sql("ANALYZE tasks")  # earlier tests may have left a high estimate
    numbers = re.compile(r'<span class="number">([^<]*)</span>')
    assert numbers.findall(get("/web/help").text) == ["2", "2"]
    assert numbers.findall(get("/web/nope").text) == []
    monkeypatch.setattr(counts, "GROUPS_MAX", -1)
    assert numbers.findall(get("/").text) == ["2"]


def test_a_bookmark_prefills_the_line(get: Get) -> None:
    text = get("/", query_string={"add": 'https://github.com/a/b"><script>'}).text
    assert 'value="https://github.com/a/b&#34;&gt;&lt;script&gt;"' in text


def test_a_page_of_100_tasks_is_under_100_kb(get: Get, create: Create, github: GitHub) -> None:
    for number in range(100):
        create(title=f"Try the new release number {number} on staging", tags=["upgrade", "flask"])
    response = get("/?limit=100&sort=due_date")
    assert len(shown(response)) == 100
    assert len(response.data) < 100_000
