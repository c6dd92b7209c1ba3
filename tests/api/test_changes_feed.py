"""The changes as an Atom feed, read by a feed reader's library."""

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import feedparser
import pytest
from flask import Flask
from flask.testing import FlaskClient

from tracker.database.changes import Change, ChangeKind
from tracker.database.connection import connection

TIME = datetime(2030, 1, 1, 9, 30, tzinfo=timezone.utc)


@pytest.fixture
def record(app: Flask) -> Callable[..., None]:
    """Store a change without GitHub."""

    def record(kind: str = "license", **values: Any) -> None:
        row = {"repository_id": 1, "repository": "pallets/flask", "kind": kind, "before": "MIT"}
        row |= {"after": None, "seen_at": TIME, "previously_seen_at": TIME}
        with connection():
            Change.create(**row | values)

    return record


def read(client: FlaskClient, path: str = "/changes.atom", **options: Any) -> Any:
    """Return the feed as the library parses it; fail if it is not well-formed."""
    response = client.get(path, **options)
    assert response.status_code == 200
    assert response.content_type == "application/atom+xml; charset=utf-8"
    found = feedparser.parse(response.data)
    assert not found.bozo, found.get("bozo_exception")
    assert found.version == "atom10"
    assert found.feed.id.startswith("urn:uuid:")
    assert found.feed.title
    assert found.feed.author
    assert found.feed.updated_parsed
    for entry in found.entries:
        assert entry.id.startswith("urn:uuid:")
        assert entry.title
        assert entry.updated_parsed
    return found


def test_a_feed_without_entries_is_valid(client: FlaskClient) -> None:
    assert read(client).entries == []


def test_a_feed_has_an_entry_for_each_change(
    client: FlaskClient, record: Callable[..., None]
) -> None:
    for kind in ChangeKind:
        record(kind.value)
    found = read(client)
    assert [entry.tags[0].term for entry in found.entries] == [*reversed(list(ChangeKind))]
    assert len({entry.id for entry in found.entries}) == len(ChangeKind)
    assert {entry.link for entry in found.entries} == {"https://github.com/pallets/flask"}
    assert {entry.updated for entry in found.entries} == {"2030-01-01T09:30:00.000000Z"}
    assert found.feed.updated == "2030-01-01T09:30:00.000000Z"
    titles = [entry.title for entry in found.entries]
    assert "pallets/flask changed its license from MIT to none" in titles


def test_a_feed_has_the_filters_of_the_list(
    client: FlaskClient, record: Callable[..., None]
) -> None:
    record("license")
    record("archived")
    found = read(client, "/changes.atom?kind=archived&limit=5")
    assert [entry.tags[0].term for entry in found.entries] == ["archived"]
    assert found.feed.links[0].href == "http://localhost/changes.atom?kind=archived&limit=5"
    assert client.get("/changes.atom?cursor=x").status_code == 422


def test_the_ids_are_the_same_at_another_time_and_address(
    client: FlaskClient, record: Callable[..., None]
) -> None:
    record()
    first = read(client)
    record(seen_at=TIME.replace(year=2031))
    again, moved = read(client), read(client, base_url="https://127.0.0.1/tracker")
    assert again.feed.id == first.feed.id
    assert again.entries[1].id == first.entries[0].id == moved.entries[1].id
    assert again.entries[0].id != again.entries[1].id


def test_control_characters_are_dropped(client: FlaskClient, record: Callable[..., None]) -> None:
    record(before="M\x1b[31mIT\u202e\ufffe <b>&", after="]]>")
    (entry,) = read(client).entries
    assert "from M[31mIT <b>& to ]]>" in entry.title


def test_the_links_lead_to_the_web_host_over_https(
    client: FlaskClient, client_with: Callable[..., FlaskClient], record: Callable[..., None]
) -> None:
    record(repository="a/b?c#d\x1b")
    enterprise = client_with(github_api_base="http://ghe.example.com/api/v3")
    (entry,) = read(enterprise).entries
    assert entry.link == "https://ghe.example.com/a/b%3Fc%23d%1B"
