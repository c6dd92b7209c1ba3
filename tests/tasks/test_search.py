"""Searches: what each finds, and what is none."""

import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import psycopg2
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from helpers import wait_for
from tracker import create_app
from tracker.config import Settings
from tracker.database.connection import connection, database, init_pool
from tracker.database.driver import SETTINGS
from tracker.database.text import search_words
from tracker.tasks import lists, page_queries
from tracker.tasks.search import parse_search


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
        ("cafe", {"title": "Café"}),
        ("CAFÉ", {"title": "cafe"}),
        ("cafe\u0301", {"title": "Café"}),
        ("café", {"description": "cafe\u0301"}),
        ("ÄRGERNIS", {"title": "ärgernis"}),
        ("ärgernis", {"title": "ÄRGERNIS"}),
        ("lodz", {"title": "Łódź"}),
        ("世界", {"title": "你好世界"}),
        ("好世", {"title": "你好世界，再见"}),
        ("ครับ", {"title": "สวัสดีครับ"}),
        ("left", {"title": "left—right，middle"}),
        ("right", {"title": "left—right，middle"}),
        ("middle", {"title": "left—right，middle"}),
        ("upgra", {"tags": ["upgrade"]}),
        ("C++", {"title": "Port it to C++"}),
        ("c#", {"title": "Port it to C#."}),
        ("🚀", {"title": "ship it🚀now"}),
        ("\uff26\uff4c\uff41\uff53\uff4b", {}),
        ('"how it signals"', {"title": "Read how it signals errors"}),
        ('errors "how it"', {"title": "Read how it signals errors"}),
        ('"how it', {"title": "Read how it signals errors"}),
        ("flask -django", {}),
        ("django or flask", {}),
        ("django OR pallets -werkzeug", {}),
        ("or", {"title": "this or that"}),
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


@pytest.mark.parametrize(
    "words",
    [
        *("lask", "flask django", "flasks", "xyz", "f pallets", "flask -pallets", "flask -pal"),
        *('"pallets fla"', '"flask pallets"', "flask/pallets", "django or werkzeug", "C++", "🚀"),
    ],
)
def test_a_search_finds_nothing_else(
    add: Callable[..., int], ids: Callable[..., list[int]], words: str
) -> None:
    add()
    assert ids(urlencode({"q": words})) == []


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("a " * 100, "('a':*)"),
        ("FLASK Flask flask", "('flask':*)"),
        ("f fl flask", "('flask':*)"),
        ("flask-login, flask", "('flask' <-> 'login':*)"),
        ('one "two words" -three', "('one':*) & ('two' <-> 'words') & !('three':*)"),
        ("one two or 3", "('one':*) & ('two':*) | ('3')"),
        ("世界", "('世' <-> '界')"),
    ],
)
def test_a_search_has_each_word_once(text: str, query: str) -> None:
    assert parse_search(text) == query


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("& | !", "Must contain a word to find, besides those that are excluded."),
        ("—", "Must contain a word to find, besides those that are excluded."),
        ("-flask", "Must contain a word to find, besides those that are excluded."),
        ("flask or -django", "Must contain a word to find, besides those that are excluded."),
        ("a b c d e f g h i j k", "Must contain at most 10 words and phrases."),
        ("x" * 201, "Longer than maximum length 200."),
        ("\0a", "Must not contain a NUL character."),
    ],
)
def test_what_is_no_search_is_a_422_with_the_reason(
    client: FlaskClient, words: str, message: str
) -> None:
    response = client.get(f"/tasks?{urlencode({'q': words})}")
    assert response.status_code == 422
    assert response.get_json()["errors"]["query"] == {"q": [message]}


@pytest.mark.parametrize("words", ["a b c d e f g h i j", "世" * 200, "a." * 100, "x" * 200])
def test_the_largest_searches_are_accepted(client: FlaskClient, words: str) -> None:
    assert client.get(f"/tasks?{urlencode({'q': words})}").status_code == 200


@given(st.text(max_size=250) | st.text("'\"\\:*&|!<>() ab", max_size=30))
def test_any_text_is_a_search_or_a_422(client: FlaskClient, text: str) -> None:
    query = urlencode({"q": text}, errors="replace")
    assert client.get(f"/tasks?{query}").status_code in (200, 422)


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cn", "Co"], max_codepoint=0x2FFFF)
    | st.sampled_from("äÄéßıİſςΣσ世界，—🚀\u0301\u200d\ufe0f C++#\"-'\\"),
    max_size=60,
)


@pytest.mark.usefixtures("client")
@given(TEXTS)
def test_python_and_postgresql_find_the_same_words(text: str) -> None:
    for form in (text, unicodedata.normalize("NFD", text)):
        with connection():
            cursor = database.execute_sql(
                "SELECT array(SELECT lexeme FROM unnest(search_vector(%s::text[])))", ([form],)
            )
        assert set(cursor.fetchone()[0]) == set(search_words(form))


def test_a_rare_word_is_found_behind_thousands_of_tasks(
    add: Callable[..., int], ids: Callable[..., list[int]], client: FlaskClient
) -> None:
    needles = [
        add(title=f"needle {title}", stars=stars)
        for title, stars in zip("cab", (2, 1, 3), strict=True)
    ]
    with connection():
        database.execute_sql(
            "INSERT INTO tasks (title, status, priority, tags, repository, metadata_status, stars)"
            " SELECT 'd', 'open', 'low', '{}', 'git/git', 'pending', n"
            " FROM generate_series(1, %s) AS n",
            (page_queries.SCAN_MAX,),
        )
    first, second, third = needles
    assert ids("q=needle") == [third, second, first]
    assert ids("q=needle&sort=stars") == [second, first, third]
    assert ids("q=needle&sort=-due_date") == [third, second, first]
    assert ids("q=needle&sort=-title&status=open") == [first, third, second]
    response = client.get("/tasks?q=needle&limit=2&sort=-stars&total=true")
    assert response.headers["X-Total-Count"] == "3"
    link = response.headers["Link"]
    (last,) = client.get(link[1 : link.index(">")]).get_json()
    assert last["id"] == second


def test_searches_leave_connections_to_other_requests(
    settings: Settings, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "SEARCH_WAIT", 0.2)
    create_app(replace(settings, database_pool_size=lists.SEARCHES_MAX + 1))
    with ThreadPoolExecutor() as pool, closing(psycopg2.connect(settings.database_url)) as other:
        other.cursor().execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        searches = [pool.submit(client.get, f"/tasks?q=a{n}") for n in range(lists.SEARCHES_MAX)]
        wait_for(lambda: waiting(settings.database_url) == len(searches))
        response = client.get("/tasks?q=a")
        assert response.status_code == 503
        assert response.get_json()["message"] == "Too many searches at a time; try again."
        assert response.get_json()["reason"] == "too_many_searches"
        with connection():
            assert database.execute_sql("SELECT 1").fetchone() == (1,)
        other.rollback()
        assert [search.result().status_code for search in searches] == [200] * len(searches)
    assert client.get("/tasks?q=a").status_code == 200


def test_a_search_that_is_canceled_early_may_be_tried_again(
    settings: Settings, client: FlaskClient
) -> None:
    init_pool(database, settings, timeout=1, session=SETTINGS | {"statement_timeout": "50"})
    with closing(psycopg2.connect(settings.database_url)) as other:
        other.cursor().execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        response = client.get("/tasks?q=a")
    assert (response.status_code, response.get_json()["reason"]) == (503, "database_timeout")


def waiting(database_url: str) -> int:
    """Count the statements that wait for a lock."""
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        (count,) = cursor.fetchone() or (0,)
        return int(count)
