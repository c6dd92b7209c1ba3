"""The pages of repositories and changes."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tracker.database import queries
from tracker.database.connection import connection
from tracker.demo.github import GitHub
from tracker.web.repositories import plot

Get = Callable[..., TestResponse]
Create = Callable[..., dict[str, Any]]


def names(response: TestResponse) -> list[str]:
    """Return the names in the rows of a page, in its order."""
    return re.findall(r'class="title"[^>]*><bdi>([^<]*)</bdi>', response.text)


def test_the_repositories_are_those_of_the_api(
    client: FlaskClient, get: Get, create: Create
) -> None:
    for repository in ("pallets/flask", "moby/moby", "angular/angular.js", "pallets/flask"):
        create(repository=repository, status="done")
    for query in ("", "?sort=-stars", "?archived=true", "?sort=-stars&limit=1"):
        expected = [found["name"] for found in client.get(f"/repositories{query}").get_json()]
        assert names(get(f"/web/repositories{query}")) == expected
    text = get("/web/repositories").text
    assert ">2 done</a>" in text
    assert "archived, seen" in text
    path, found = "/web/repositories?sort=-stars&limit=2", []
    while path:
        response = get(path)
        found += names(response)
        link = re.search(r'rel="next" href="([^"]*)"', response.text)
        path = link[1].replace("&amp;", "&") if link else ""
    assert found == [each["name"] for each in client.get("/repositories?sort=-stars").get_json()]
    assert get("/web/repositories?sort=x").status_code == 422


def test_a_repository_has_its_facts_its_changes_and_a_refresh(
    get: Get, post: Get, create: Create, github: GitHub
) -> None:
    create()
    github.repositories["pallets/flask"]["archived"] = True
    response = post("/web/repositories/pallets/flask/refresh")
    assert response.location == "/web/repositories/pallets/flask"
    text = get(response.location).text
    assert "archived, seen" in text
    assert "<span>archived</span>" in text
    assert 'href="/?repository=pallets/flask&amp;status=open">1 open</a>' in text
    assert get("/web/repositories/no/such").status_code == 404


def test_changes_are_new_until_they_are_seen(
    client: FlaskClient, get: Get, create: Create, github: GitHub
) -> None:
    task = create()
    assert "Nothing has changed yet" in get("/web/changes").text
    github.rename("pallets/flask", "pallets/flask2")
    client.post(f"/tasks/{task['id']}/refresh")
    assert '1<span class="hide"> new' in get("/").text
    get("/web/changes?kind=archived")  # it does not show this one
    assert '1<span class="hide"> new' in get("/").text
    first = get("/web/changes").text
    assert "renamed: <bdi>pallets/flask</bdi> → <bdi>pallets/flask2</bdi>" in first
    assert '<span class="mark">new</span>' in first
    assert '<span class="hide"> new' not in get("/").text
    assert '<span class="mark">new</span>' in get("/web/changes").text  # of the same visit
    client.delete_cookie("changes-visit-http")
    assert '<span class="mark">new</span>' not in get("/web/changes").text
    assert "No change matches." in get("/web/changes?kind=archived").text
    assert get("/web/changes?kind=x").status_code == 422


def test_a_quiet_repository_is_said_to_be_quiet(get: Get, create: Create, github: GitHub) -> None:
    now = datetime.now(timezone.utc)
    for days, said in ((3, "pushed 3 d"), (400, "quiet for a year")):
        pushed_at = f"{now - timedelta(days):%Y-%m-%dT%H:%M:%SZ}"
        github.repositories["pallets/flask"]["pushed_at"] = pushed_at
        task = create()
        text = get("/web/repositories/pallets/flask").text
        assert (said in text) or task["pushed_at"] != pushed_at


def test_hostile_metadata_are_text(get: Get) -> None:
    evil = "<script>alert(1)</script>"
    values = {
        "title": "x",
        "repository": "a/b",
        "repository_url": "javascript:alert(1)",
        "homepage": "javascript:alert(1)",
        "repository_description": evil,
        "topics": [evil],
        "license": evil,
    }
    with connection():
        queries.insert_task(values)
    for path in ("/web/repositories", "/web/repositories/a/b"):
        text = get(path).text
        assert "<script>alert" not in text
        assert 'href="javascript' not in text


def test_stars_over_time_are_a_line() -> None:
    days = [
        {"date": f"2030-01-0{day}", "stars": stars} for day, stars in ((1, 10), (3, 30), (5, 20))
    ]
    found = plot(days)
    assert found
    assert found["points"] == "0.0,100.0 300.0,0.0 600.0,50.0"
    assert plot(days[:1]) is None
    flat = plot([{"date": "2030-01-01", "stars": 5}, {"date": "2030-01-02", "stars": 5}])
    assert flat
    assert flat["points"] == "0.0,100.0 600.0,100.0"
