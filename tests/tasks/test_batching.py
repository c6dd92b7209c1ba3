"""Requests that arrive together share a read, and none shares one that has begun."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

from flask.testing import FlaskClient

from helpers import PATIENCE
from patched import run_patched
from tracker.config import Settings
from tracker.tasks.batching import BatchLoader

# Requests as greenlets of a worker. It prints for each group of keys the batches that were read
# and what each request got, then what requests got after their leader was ended.
GREENLETS = """
from tracker.tasks.batching import BatchLoader

batches = []

def read(keys):
    batches.append(list(keys))
    gevent.sleep(0.01)
    if "broken" in keys:
        raise RuntimeError("broken")
    return {key: key.upper() for key in keys if key != "absent"}

def load(loader, key):
    try:
        return loader.load(key)
    except RuntimeError as error:
        return str(error)

results = []
for size, keys in values["groups"]:
    batches.clear()
    loader = BatchLoader(read, size)
    requests = [gevent.spawn(load, loader, key) for key in keys]
    got = [request.get() for request in requests]
    results.append([batches[:], got])

# The request that leads a batch is ended while it reads: later ones are not held up.
loader = BatchLoader(read)
leader = gevent.spawn(load, loader, "a")
gevent.sleep(0.001)
leader.kill()
after = load(loader, "a")

# Those that have joined its batch read for themselves.
leader, *followers = [gevent.spawn(load, loader, key) for key in "abb"]
gevent.sleep(0.001)
leader.kill()
print(json.dumps([results, after, [follower.get() for follower in followers]]))
"""

# Requests for two pages of the list at the same time.
PAGES = """
from tracker import create_app
from tracker.config import Settings
from tracker.database.connection import database
from tracker.database.driver import use_gevent

use_gevent()
app = create_app(Settings(database_url=values["url"]))
reads = []
database.query_hooks.append(lambda event: reads.append(event.sql.startswith("EXECUTE")))
paths = ["/tasks", "/tasks?limit=1"] * 20
requests = [gevent.spawn(app.test_client().get, path) for path in paths]
pages = [[task["title"] for task in request.get().get_json()] for request in requests]
print(json.dumps([sum(reads), pages]))
"""


def test_requests_share_a_batch_up_to_its_size() -> None:
    groups = [
        (None, ["a", "b", "a", "absent"]),
        (2, ["a", "b", "c", "a", "c"]),
        (1, ["a", "b", "a", "b", "a"]),
        (1, ["broken", "b", "broken"]),
    ]
    results, after, followers = run_patched(GREENLETS, groups=groups)
    assert results == [
        [[["a", "b", "absent"]], ["A", "B", "A", None]],
        [[["a", "b"], ["c"]], ["A", "B", "C", "A", "C"]],
        [[["a"], ["b"]], ["A", "B", "A", "B", "A"]],
        [[["broken"], ["b"]], ["broken", "B", "broken"]],
    ]
    assert (after, followers) == ("A", ["B", "B"])


def test_requests_for_the_same_page_share_one_read(client: FlaskClient, settings: Settings) -> None:
    for title in ("one", "two"):
        client.post("/tasks", json={"title": title, "repository": "pallets/flask"})
    reads, pages = run_patched(PAGES, url=settings.database_url)
    assert pages == [["two", "one"], ["two"]] * 20
    assert reads == 2


def test_a_page_that_is_being_read_is_not_shared() -> None:
    """A request may not get what another one read before a change that it follows."""
    begun, goes_on = Event(), Event()
    state = ["old"]

    def read(keys: list[str]) -> dict[str, str]:
        value = state[0]
        begun.set()
        assert goes_on.wait(PATIENCE)
        return dict.fromkeys(keys, value)

    loader = BatchLoader(read, max_batch_size=1)
    with ThreadPoolExecutor(2) as pool:
        before = pool.submit(loader.load, "page")
        assert begun.wait(PATIENCE)
        state[0] = "new"
        after = pool.submit(loader.load, "page")
        goes_on.set()
    assert (before.result(), after.result()) == ("old", "new")
