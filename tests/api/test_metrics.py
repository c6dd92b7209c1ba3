"""Metrics over the API, in a process of its own."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from flask.testing import FlaskClient

from scraped import samples
from tracker import create_app
from tracker.api.metrics import METHODS
from tracker.config import Settings
from tracker.database.connection import database
from tracker.database.pool import Pool, PoolExhausted
from tracker.demo.github import GitHub

REQUESTS = "tracker_http_requests_total"
LOOKUPS = "tracker_github_cache_lookups_total"
CALLS = "tracker_github_calls_total"
TASK = {"title": "t", "repository": "pallets/flask"}

Growth = Callable[[], dict[tuple[str, ...], float]]


@pytest.fixture
def growth(client: FlaskClient) -> Growth:
    """Return what has grown since the beginning: other tests have counted in this process."""
    before = samples(client.get("/metrics").text)

    def grown() -> dict[tuple[str, ...], float]:
        after = samples(client.get("/metrics").text)
        return {
            key: value - before.get(key, 0)
            for key, value in after.items()
            if value > before.get(key, 0)
        }

    return grown


def test_requests_are_counted_by_method_route_and_status(
    client: FlaskClient, growth: Growth
) -> None:
    task = client.post("/tasks", json=TASK).get_json()
    for number in (task["id"], task["id"], 2**60):
        client.get(f"/tasks/{number}")
    grown = growth()
    counted = {key[1:]: value for key, value in grown.items() if key[0] == REQUESTS}
    assert counted == {
        ("POST", "/tasks", "201"): 1,
        ("GET", "/tasks/{task_id}", "200"): 2,
        ("GET", "/tasks/{task_id}", "404"): 1,
        ("GET", "/metrics", "200"): 1,
    }
    duration = "tracker_http_request_duration_seconds"
    assert grown[f"{duration}_count", "GET", "/tasks/{task_id}"] == 3
    assert 0 < grown[f"{duration}_sum", "GET", "/tasks/{task_id}"] < 3


def test_unknown_paths_and_methods_share_one_label(client: FlaskClient, growth: Growth) -> None:
    for number in range(3):
        client.get(f"/nothing/{number}")
        client.open("/tasks", method=f"LOOK{number}")
    counted = {key[1:]: value for key, value in growth().items() if key[0] == REQUESTS}
    assert counted == {
        ("GET", "other", "404"): 3,
        ("other", "other", "405"): 3,
        ("GET", "/metrics", "200"): 1,
    }


def test_every_method_that_is_served_has_its_label(client: FlaskClient) -> None:
    rules = client.application.url_map.iter_rules()
    assert set().union(*(rule.methods or () for rule in rules)) <= METHODS


def test_a_scrape_is_a_request_in_flight(settings: Settings) -> None:
    client = create_app(settings).test_client()  # the process's last application is measured
    for _ in range(2):
        found = samples(client.get("/metrics").text)
        assert found["tracker_http_requests_in_flight",] == 1


def test_the_metrics_ask_for_the_token(settings: Settings) -> None:
    client = create_app(replace(settings, api_token="a-token")).test_client()
    assert client.get("/metrics").status_code == 401
    headers = {"Authorization": "Bearer a-token"}
    assert client.get("/metrics", headers=headers).status_code == 200


def test_calls_to_github_are_counted_by_outcome(
    client: FlaskClient, github: GitHub, growth: Growth
) -> None:
    for name in ("pallets/flask", "nobody/nothing", "faults/503", "faults/closed"):
        client.post("/tasks", json=TASK | {"repository": name})
    counted = {key[1]: value for key, value in growth().items() if key[0] == CALLS}
    assert counted == {"200": 1, "404": 1, "503": 2, "no_response": 2}


def test_lookups_are_counted_by_the_caches_result(
    settings: Settings, github: GitHub, growth: Growth
) -> None:
    client = create_app(replace(settings, github_cache_ttl=1)).test_client()
    for _ in range(2):
        client.post("/tasks", json=TASK)
    counted = {key[1]: value for key, value in growth().items() if key[0] == LOOKUPS}
    assert counted == {"miss": 1, "hit": 1}


def test_the_rate_limit_is_a_metric_once_github_has_told_it(
    client: FlaskClient, github: GitHub
) -> None:
    name = "tracker_github_rate_limit"
    assert (name,) not in samples(client.get("/metrics").text)
    github.remaining = 30
    client.post("/tasks", json=TASK)
    found = samples(client.get("/metrics").text)
    assert (found[name,], found[f"{name}_remaining",]) == (60, 29)
    assert found[f"{name}_reset_timestamp_seconds",] > 0


def test_the_pool_is_measured(client: FlaskClient, growth: Growth, settings: Settings) -> None:
    with database.connection_context():
        found = samples(client.get("/metrics").text)
    pool = "tracker_database_pool"
    assert found[f"{pool}_connections_max",] == settings.database_pool_size
    assert found[f"{pool}_connections_in_use",] == 1
    empty = Pool(None, autoconnect=False)
    empty.init("any", size=0, timeout=0.01)
    with pytest.raises(PoolExhausted):
        empty.connect()
    assert growth()[f"{pool}_waits_total",] == 1
