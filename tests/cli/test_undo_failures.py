"""Commands whose responses were lost, their undo, and tasks whose repository is gone."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from command_line import Tracker
from helpers import Service


class Relay(ThreadingHTTPServer):
    """A proxy of the service that loses the responses to changes, or puts others in their place."""

    def __init__(self, service: Service) -> None:
        super().__init__(("127.0.0.1", 0), RelayHandler)
        self.service = service
        self.status: int | None = None  # in place of the response to a change; 0: none at all
        self.after = 0  # changes that get their response before
        self.after_list: Callable[[], object] | None = None  # called once, after a list is read
        self.refusals = 0  # changes that get 409 first
        self.reads = 0


class RelayHandler(BaseHTTPRequestHandler):
    server: Relay

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        changes = self.command != "GET"
        status = self.server.status if changes else None
        self.server.reads += not changes
        if changes and status is not None and self.server.after:
            self.server.after -= 1
            status = None
        if changes and self.server.refusals:
            self.server.refusals -= 1
            status = 409
        if status in {409, 503}:
            self.send_error(status)
            return
        headers = {k: v for k, v in self.headers.items() if k not in {"Host", "Connection"}}
        response = self.server.service.call(self.command, self.path, data=body, headers=headers)
        called, self.server.after_list = self.server.after_list, None
        if called:
            called()
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status or response.status_code)
        self.send_header("Content-Length", str(len(response.content)))
        self.end_headers()
        self.wfile.write(response.content)

    do_GET = do_PATCH = do_DELETE = do_POST = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def relay(tracker: Tracker) -> Iterator[Relay]:
    with Relay(tracker.service) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        tracker.environment["TRACKER_URL"] = f"http://127.0.0.1:{server.server_port}"
        yield server
        server.shutdown()


@pytest.mark.parametrize("status", [0, 502, 504])
@pytest.mark.parametrize("words", [["done", "--tag", "a"], ["done"], ["rm"], ["edit"]])
def test_a_change_without_a_response_can_be_undone(
    tracker: Tracker, relay: Relay, status: int, words: list[str]
) -> None:
    number = tracker.add("pallets/flask", "One", "+a")
    if "--tag" not in words:
        words = [*words, str(number)]
    if words[0] == "edit":
        words = [*words, "--set-status", "done"]
    relay.status = status
    assert tracker(*words).returncode != 0
    relay.status = None
    done = tracker("undo")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, f"Undid {words[0]}: 1 task.")
    (task,) = tracker.service.call("GET", "/tasks").json()
    assert task["status"] == "open"


@pytest.fixture
def gone(tracker: Tracker) -> Iterator[str]:
    """The name of a repository that a test deletes on GitHub; afterwards it is back."""
    name = "moby/moby"
    before = tracker.github.repositories[name]
    yield name
    tracker.github.repositories[name] = before


def test_a_deleted_task_of_a_deleted_repository_comes_back(tracker: Tracker, gone: str) -> None:
    first = tracker.add("pallets/flask", "One", "+a")
    number = tracker.add(f"{gone}#7", "Two", "+a", "!high", "due:fri")
    last = tracker.add("pallets/flask", "Three", "+a")
    before = tracker.task(number) | {"status": "open"}
    del tracker.github.repositories[gone]
    tracker("refresh", str(number))  # or the cache would still have it
    tracker("done", str(number))
    assert tracker("rm", str(first), str(number), str(last)).returncode == 0
    done = tracker("undo")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "Undid rm: 3 tasks.")
    ids = tracker("list", "--all", "-q", "--sort", "created_at").stdout.split()
    (line,) = [line for line in done.stderr.splitlines() if line.startswith(f"#{number} ")]
    assert line.startswith(f"#{number} is back as #{ids[1]}: Two; its metadata are ")
    assert tracker("undo").stderr == "Undid done: 1 task.\n"
    task = tracker.task(int(ids[1]))
    for name in ("title", "status", "priority", "tags", "due_date", "repository", "issue"):
        assert task[name] == before[name]


def test_a_refusal_of_one_task_leaves_the_others_undone(tracker: Tracker, relay: Relay) -> None:
    numbers = [tracker.add("pallets/flask", title, "+a") for title in "abc"]
    tracker("rm", *map(str, numbers))
    relay.refusals = 1
    done = tracker("undo")
    assert done.returncode == 3
    assert done.stderr.startswith(f"#{numbers[0]} is left: ")
    assert done.stderr.endswith("Undid rm: 2 tasks.\n")
    tasks = tracker.service.call("GET", "/tasks?sort=created_at").json()
    assert [task["title"] for task in tasks] == ["b", "c"]


def test_an_undo_cut_short_goes_on(tracker: Tracker, relay: Relay) -> None:
    numbers = [tracker.add("pallets/flask", title, "+a") for title in "abc"]
    tracker("edit", *map(str, numbers), "--set-priority", "high")
    tracker("rm", *map(str, numbers))
    relay.status, relay.after = 503, 1
    done = tracker("undo")
    assert done.returncode == 5
    assert "2 tasks left; undo again to go on.\n" in done.stderr
    relay.status = None
    again = tracker("undo")
    assert again.stderr.endswith("Undid rm: 2 tasks.\n"), again.stderr
    assert tracker("undo").stderr == "Undid edit: 3 tasks.\n"
    tasks = tracker.service.call("GET", "/tasks?sort=created_at").json()
    assert [(task["title"], task["priority"]) for task in tasks] == [
        (title, "normal") for title in "abc"
    ]


def test_an_import_whose_response_is_lost_is_not_repeated(
    tracker: Tracker, relay: Relay, gone: str
) -> None:
    number = tracker.add(gone, "One")
    twin = tracker.add(gone, "One")
    del tracker.github.repositories[gone]
    tracker("refresh", str(number))
    tracker("rm", str(number))
    relay.status, relay.after = 0, 1
    assert tracker("undo").returncode == 5
    relay.status = None
    done = tracker("undo")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "Undid rm: 1 task.")
    ids = tracker("list", "-q", "--sort", "created_at").stdout.split()
    assert ids[0] == str(twin)
    assert len(ids) == 2
    assert done.stderr.startswith(f"#{number} is back as #{ids[1]}: ")


def test_an_import_without_a_response_says_what_to_do(tracker: Tracker, relay: Relay) -> None:
    (tracker.home / "one.txt").write_text("pallets/flask One\n")
    relay.status = 0
    lost = tracker("import", "one.txt")
    assert lost.returncode == 5
    assert lost.stderr.endswith("; all tasks are created or none: look before you repeat it\n")
    assert len(tracker("list", "-q").stdout.split()) == 1
    refused = tracker("import", "one.txt", TRACKER_URL="http://127.0.0.1:1")
    assert refused.stderr.endswith("can't be reached: Connection refused\n")


def test_a_refresh_without_a_response_says_how_far_it_came(tracker: Tracker, relay: Relay) -> None:
    tracker("add", "-", typed="pallets/flask One\nmoby/moby Two\nfastapi/fastapi Three\n")
    relay.status, relay.after = 0, 2
    done = tracker("refresh", "--all")
    assert done.returncode == 5
    said = "2 refreshed, 1 repository left; the next refresh goes on with the oldest.\n"
    assert said in done.stderr


def many(tracker: Tracker, *words: str) -> list[int]:
    """Create eight tasks with the tag `a`, and run a command for them."""
    done = tracker("add", "-", "-q", typed="".join(f"pallets/flask {n} +a\n" for n in range(8)))
    assert tracker(*words, "--tag", "a", "--yes").returncode == 0
    return [int(number) for number in done.stdout.split()]


def test_many_tasks_are_read_in_pages(tracker: Tracker, relay: Relay) -> None:
    numbers = many(tracker, "done")
    assert relay.reads == 2  # before the change, and after it
    path = "/tasks/{}"
    tracker.service.call("PATCH", path.format(numbers[2]), json={"title": "Theirs"})
    tracker.service.call("DELETE", path.format(numbers[4]))
    relay.reads = 0
    relay.after_list = lambda: tracker.service.call(
        "PATCH", path.format(numbers[6]), json={"title": "Too late"}
    )
    done = tracker("undo")
    assert done.returncode == 3
    *left, end = done.stderr.splitlines()
    assert [line.partition(" · ")[0] for line in left] == [
        f"#{numbers[6]} was changed since, and is left: #{numbers[6]} Too late",
        f"#{numbers[4]} is gone",
        f"#{numbers[2]} was changed since, and is left: #{numbers[2]} Theirs",
    ]
    assert end == "Undid done: 5 tasks."
    assert relay.reads == 3  # a page, the deleted task, and the one that has changed since
    assert len(tracker("list", "-q").stdout.split()) == 5


def test_an_undo_of_many_that_is_cut_short_goes_on(tracker: Tracker, relay: Relay) -> None:
    many(tracker, "edit", "--set-priority", "high")
    assert tracker("done", "--tag", "a", "--yes").returncode == 0
    relay.status, relay.after = 503, 3
    cut = tracker("undo")
    assert (cut.returncode, "5 tasks left; undo again to go on.\n" in cut.stderr) == (5, True)
    relay.status = None
    assert tracker("undo").stderr == "Undid done: 5 tasks.\n"
    assert tracker("undo").stderr == "Undid edit: 8 tasks.\n"
    assert len(tracker("list", "-q", "--priority", "normal").stdout.split()) == 8


@pytest.mark.parametrize("other", [{"tags": ["a"]}, {"title": "Theirs"}])
def test_a_selection_is_read_again_after_the_question(
    tracker: Tracker, relay: Relay, other: dict[str, object]
) -> None:
    numbers = [tracker.add("pallets/flask", title, "+a") for title in "abc"]
    fourth = tracker.add("pallets/flask", "d")
    leaves = {"tags": []} if "tags" in other else other

    def change() -> None:  # while the question waits: as many tasks, but not the same ones
        tracker.service.call("PATCH", f"/tasks/{numbers[0]}", json=leaves)
        if "tags" in other:
            tracker.service.call("PATCH", f"/tasks/{fourth}", json=other)

    relay.after_list = change
    code, screen = tracker.on_terminal("done", "--tag", "a", typed="y\n")
    if "tags" in other:
        assert code == 3
        assert "the filters select other tasks now; list them again" in " ".join(screen.split())
        assert tracker.task(fourth)["status"] == "open"
        assert "Undid add: " in tracker("undo").stderr  # nothing of `done` is in the journal
    else:
        assert code == 0
        assert tracker("undo").stderr == "Undid done: 3 tasks.\n"
        assert tracker.task(numbers[0])["title"] == "Theirs"
