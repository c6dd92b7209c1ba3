"""The verb `refresh`, with GitHub's limit, and the changes that it finds."""

import time
from collections.abc import Iterator

import pytest

from command_line import Tracker
from helpers import wait_for
from tracker.demo.github import GitHub


@pytest.fixture(autouse=True)
def unlimited(tracker: Tracker) -> Iterator[GitHub]:
    """GitHub's stand-in, as it was at first after each test."""
    github = tracker.github
    before = (github.remaining, github.reset)
    yield github
    if github.remaining == 0:  # the service keeps to the limit until it ends, too
        ended = github.reset + 1
        wait_for(lambda: time.time() > ended)
    github.remaining, github.reset = before
    github.fault = None


def calls(tracker: Tracker) -> list[str]:
    """Return the repositories that GitHub was asked for, and forget them."""
    found = [call.path.removeprefix("/repos/") for call in tracker.github.calls]
    tracker.github.calls.clear()
    return [name for name in found if name != "/rate_limit"]


def test_the_oldest_repository_is_refreshed_first(tracker: Tracker) -> None:
    names = ["moby/moby", "pallets/flask", "fastapi/fastapi"]
    for name in names:
        tracker.add(name, "One")
        tracker.add(name, "Two")
        tracker("refresh", "--all", "--repository", name)
    calls(tracker)
    assert tracker("refresh").stderr == "No repository needs a refresh.\n"
    done = tracker("refresh", "--all")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("3 repositories to refresh. GitHub allows ")
    assert done.stderr.endswith("\n3 repositories refreshed.\n")
    assert len(calls(tracker)) == 3
    for name in names:
        tracker("refresh", "--all", "--repository", name)
    one_by_one = calls(tracker)
    for filters in ([], ["--status", "open"]):
        tracker("refresh", "--all", *filters)
        assert calls(tracker) == one_by_one


def test_a_pending_repository_is_refreshed(tracker: Tracker) -> None:
    tracker.add("pallets/flask", "One")
    done = tracker("import", "-", typed="postgres/postgres Read\n")
    assert done.returncode == 0, done.stderr
    calls(tracker)
    quiet = tracker("refresh", "--pending", "-q")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    assert calls(tracker) == ["postgres/postgres"]
    assert tracker("list", "-q", "--metadata-status", "pending").stdout == ""


def test_changes_on_github_are_printed(tracker: Tracker) -> None:
    number = str(tracker.add("angular/angular.js", "One"))
    repository = tracker.github.repositories["angular/angular.js"]
    repository["archived"] = not repository["archived"]
    kind = "archived" if repository["archived"] else "unarchived"
    done = tracker("refresh", number)
    assert (done.returncode, done.stdout) == (0, f"angular/angular.js\t{kind}\n")
    first = tracker("changes", "--repository", "angular/angular.js").stdout.splitlines()[0]
    assert first.split("\t")[1:3] == ["angular/angular.js", kind]


def test_at_githubs_limit_a_refresh_stops_and_says_when_to_go_on(tracker: Tracker) -> None:
    tracker.add("pallets/flask", "One")
    tracker.add("moby/moby", "One")
    tracker.github.limit(3)
    calls(tracker)
    done = tracker("refresh", "--all")
    assert done.returncode == 5
    assert "0 refreshed, 2 repositories left: GitHub's limit is reached." in done.stderr
    assert "Run `tracker refresh` again after " in done.stderr


def test_a_refresh_can_wait_for_githubs_limit(tracker: Tracker) -> None:
    tracker.add("fastapi/fastapi", "One")
    tracker.github.limit(2)
    started = time.monotonic()
    done = tracker("refresh", "--all", "--wait")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - started > 1
    assert "GitHub's limit is reached; going on at " in done.stderr


def test_a_repository_that_fails_does_not_keep_the_others(tracker: Tracker) -> None:
    tracker("import", "-", typed="faults/503 One\npytest-dev/pytest Two\n")
    done = tracker("refresh", "--pending")
    assert done.returncode == 1
    assert "faults/503: GitHub failed with status 503; try again later." in done.stderr
    assert done.stderr.endswith("1 repository refreshed, 1 failed.\n")


def test_a_terminal_shows_a_bar(tracker: Tracker) -> None:
    tracker.add("pallets/flask", "One")
    tracker.add("moby/moby", "One")
    code, screen = tracker.on_terminal("refresh", "--all")
    assert code == 0
    assert "Refreshing" in screen
    assert "2 repositories refreshed." in screen
