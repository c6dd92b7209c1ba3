"""One retry of a failure that may be transient, within GITHUB_TIMEOUT."""

import time
from dataclasses import replace
from threading import Thread

import pytest

from helpers import wait_for
from tracker.config import Settings
from tracker.demo.github import FAULTS, NEVER, Fault, GitHub
from tracker.errors import GitHubError, GitHubFailed, GitHubTimeout
from tracker.github import calls
from tracker.github.client import GitHubClient

FLASK = "pallets/flask"


def change_after_first_call(github: GitHub, fault: Fault | None) -> None:
    """Set the stand-in's fault as soon as it has been called."""

    def change() -> None:
        wait_for(lambda: bool(github.calls))
        github.fault = fault

    Thread(target=change).start()


@pytest.mark.parametrize("name", ["500", "502", "503", "closed"])
def test_a_transient_failure_is_retried_once(
    github: GitHub, client: GitHubClient, name: str
) -> None:
    github.fault = FAULTS[name]
    with pytest.raises(GitHubFailed):
        client.repository(FLASK)
    assert len(github.calls) == 2


@pytest.mark.parametrize("name", ["500", "closed"])
def test_a_successful_retry_hides_the_failure(
    github: GitHub, client: GitHubClient, name: str
) -> None:
    github.fault = FAULTS[name]
    change_after_first_call(github, None)
    assert client.repository(FLASK).name == FLASK
    assert len(github.calls) == 2


@pytest.mark.parametrize("name", ["503-retry-after", "400", "404", "429", "html", "cut", "huge"])
def test_a_permanent_failure_is_not_retried(
    github: GitHub, client: GitHubClient, name: str
) -> None:
    github.fault = FAULTS[name]
    with pytest.raises(GitHubError):
        client.repository(FLASK)
    assert len(github.calls) == 1


@pytest.mark.parametrize("fault", [Fault(500, delay=0.5), Fault(closed=True, delay=0.5)])
def test_a_failure_near_the_deadline_is_not_retried(
    github: GitHub, settings: Settings, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr(calls, "RETRY_DELAY", 1.0)
    github.fault = fault
    started = time.monotonic()
    with pytest.raises(GitHubFailed):
        GitHubClient(replace(settings, github_timeout=1.4)).repository(FLASK)
    assert time.monotonic() - started < 1.4
    assert len(github.calls) == 1


def test_all_attempts_together_keep_the_deadline(
    github: GitHub, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "RETRY_DELAY", 0.9)
    github.fault = FAULTS["500"]
    change_after_first_call(github, Fault(delay=NEVER))
    started = time.monotonic()
    with pytest.raises(GitHubTimeout, match="within 1.4 seconds"):
        GitHubClient(replace(settings, github_timeout=1.4)).repository(FLASK)
    assert 1.3 < time.monotonic() - started < 2.2  # 2.3, if the second had as long
