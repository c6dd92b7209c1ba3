"""Filters of a list: each selects the tasks that it names, and no others."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlencode

import psycopg2
import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from helpers import wait_for
from tracker import create_app
from tracker.config import Settings
from tracker.tasks import service
from tracker.tasks.filters import search_words

METADATA = {
    "repository_id": 596892,
    "repository_url": "https://github.com/pallets/flask",
    "stars": 70000,
    "archived": False,
    "metadata_status": "current",
    "metadata_fetched_at": datetime(2030, 1, 1, tzinfo=timezone.utc),
}


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("status=done", {"status": "done"}),
        ("priority=high", {"priority": "high"}),
        ("tag=a", {"tags": ["b", "a"]}),
        ("tag=a&tag=b", {"tags": ["c", "b", "a"]}),
        ("repository=Git/GIT", {"repository": "git/git"}),
        ("repository=https://github.com/git/git.git", {"repository": "git/git"}),
        ("archived=true", {"archived": True}),
        ("metadata_status=current", METADATA),
        ("due_before=2030-01-02", {"due_date": "2030-01-01"}),
        ("q=needle", {"title": "a Needle in hay"}),
        ("status=done&priority=high&tag=a", {"status": "done", "priority": "high", "tags": ["a"]}),
    ],
)
def test_a_filter_selects_the_tasks_that_it_names(
    client: FlaskClient,
    add: Callable[..., int],
    ids: Callable[..., list[int]],
    query: str,
    values: dict[str, Any],
) -> None:
    add()
    add(status="in_progress", priority="low", tags=["A", "other"], due_date="2030-01-02")
    selected = add(**values)
    assert ids(query) == [selected]
    response = client.get(f"/tasks?{query}&total=true")
    assert response.headers["X-Total-Count"] == "1"


@pytest.mark.parametrize(
    "query",
    ["tag=a&tag=b", "archived=false", "status=done&priority=low", "due_before=2030-01-01"],
)
def test_a_task_has_to_match_every_filter(
    add: Callable[..., int], ids: Callable[..., list[int]], query: str
) -> None:
    add(tags=["a"], due_date="2030-01-01", status="done", priority="high")
    assert ids(query) == []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("flask", {}),
        ("PALLETS", {}),
        ("fla", {}),
        ("pall fla", {}),
        ("flask pallets", {}),
        ("pallets/flask", {}),
        ("signal", {"title": "Read how it signals errors"}),
        ("1.2-rc3", {"title": "Try v1 and 1.2-rc3"}),
        ("rc3", {"title": "Try 1.2-rc3"}),
        ("example", {"description": "see https://docs.example.com/a_b?c=d"}),
        ("c d", {"description": "see https://docs.example.com/a_b?c=d"}),
        ("micro", {"repository_description": "The Python micro framework"}),
        ("'micro' & !framework:*", {"repository_description": "The Python micro framework"}),
        ("naïve", {"title": "Naïve"}),
        ("日本", {"title": "日本語"}),
        ("the", {"title": "The"}),
        ("ΟΔΟΣ", {"title": "ΟΔΟΣ"}),
        ("İstanbul", {"title": "İstanbul"}),
        ("a🎉b", {"title": "a🎉b"}),
        ("f", {}),
        ("fl flask FLA", {}),
        ("a b c d e f g h i j", {"title": "a b c d e f g h i j"}),
    ],
)
def test_a_search_finds_each_word_by_its_beginning(
    add: Callable[..., int], ids: Callable[..., list[int]], words: str, text: dict[str, Any]
) -> None:
    task = add(**text)
    assert ids(urlencode({"q": words})) == [task]


@pytest.mark.parametrize("words", ["lask", "flask django", "flasks", "xyz", "f pallets"])
def test_a_search_finds_nothing_else(
    add: Callable[..., int], ids: Callable[..., list[int]], words: str
) -> None:
    add()
    assert ids(urlencode({"q": words})) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a " * 100, ["a"]),
        ("FLASK Flask flask", ["flask"]),
        ("f fl flask", ["flask"]),
        ("flask-login, flask", ["flask", "login"]),
        ("& | !", []),
        ("", []),
    ],
)
def test_a_search_has_each_word_once(text: str, words: list[str]) -> None:
    assert search_words(text) == words


@pytest.mark.parametrize(
    "words", ["", "& | !", "🎉", "\0a", "x" * 201, "a b c d e f g h i j k", "x" * 10_000]
)
def test_a_search_takes_1_to_10_words_in_200_characters(client: FlaskClient, words: str) -> None:
    response = client.get(f"/tasks?{urlencode({'q': words})}")
    assert response.status_code == 422
    assert list(response.get_json()["errors"]["query"]) == ["q"]


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(max_size=250) | st.text("'\"\\:*&|!<>() ab", max_size=30))
def test_any_text_is_a_search_or_a_422(client: FlaskClient, text: str) -> None:
    query = urlencode({"q": text}, errors="replace")
    assert client.get(f"/tasks?{query}").status_code in (200, 422)


def test_searches_leave_connections_to_other_requests(
    settings: Settings, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "SEARCH_WAIT", 0.2)
    create_app(replace(settings, database_pool_size=service.SEARCHES_MAX + 1))
    with ThreadPoolExecutor() as pool, closing(psycopg2.connect(settings.database_url)) as other:
        other.cursor().execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        searches = [pool.submit(client.get, "/tasks?q=a") for _ in range(service.SEARCHES_MAX)]
        wait_for(lambda: waiting(settings.database_url) == len(searches))
        response = client.get("/tasks?q=a")
        assert response.status_code == 503
        assert response.get_json()["message"] == "Too many searches at a time; try again."
        assert client.get("/health/ready").status_code == 200
        other.rollback()
        assert [search.result().status_code for search in searches] == [200] * len(searches)
    assert client.get("/tasks?q=a").status_code == 200


def waiting(database_url: str) -> int:
    """Count the statements that wait for a lock."""
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        (count,) = cursor.fetchone() or (0,)
        return int(count)
