"""The demo: it needs no network and no settings, keeps its tasks, and leaves no process."""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helpers import ROOT, Service, copy_project, nothing_left, started, wait_for

SAMPLES = json.loads((ROOT / "tracker/demo/tasks.json").read_text())


@contextmanager
def demo(folder: Path, *words: str) -> Iterator[Service]:
    """Run the demo from a copy of the project in the folder."""
    project = folder / "project"
    if not project.exists():
        copy_project(project)
    command = [sys.executable, "-m", "flask", "demo", *words]
    environment = {
        "PATH": "",
        "WEB_CONCURRENCY": "",
        "DATABASE_URL": "postgresql://none.invalid/none",
    }
    with started(command, environment, folder / "output", project) as service:
        wait_for(service.answers)
        yield service


@pytest.mark.slow
def test_the_demo_keeps_its_tasks_until_reset_and_leaves_no_process(tmp_path: Path) -> None:
    with demo(tmp_path) as service:
        for number, sample in enumerate(SAMPLES, 1):
            assert service.call("GET", f"/tasks/{number}").json()["title"] == sample["title"]
        renamed = service.post("docker/docker")
        assert (renamed.status_code, renamed.json()["repository"]) == (201, "moby/moby")
        assert service.post("faults/503").status_code == 502
        assert service.post("faults/403-limit").status_code == 503
        refreshes = [service.call("POST", "/tasks/1/refresh").status_code for _ in range(8)]
        assert refreshes == [503] * 8  # from both workers
        assert "pallets/flask" in service.log
        assert service.end(signal.SIGINT) == 0
        wait_for(lambda: nothing_left(service))
    with demo(tmp_path) as service:
        again = service.call("GET", renamed.headers["Location"])
        assert again.json() == renamed.json()
        assert service.post("pallets/flask").json()["id"] == renamed.json()["id"] + 1
        assert service.end(signal.SIGTERM) == 0
        wait_for(lambda: nothing_left(service))
    with demo(tmp_path, "--reset") as service:
        assert service.call("GET", renamed.headers["Location"]).status_code == 404
        assert len(service.call("GET", "/tasks").json()) == len(SAMPLES)


@pytest.mark.slow  # tests/test_gunicorn.py interrupts a start without the demo
def test_an_interrupted_start_leaves_no_process(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    command = [sys.executable, "-m", "flask", "demo"]
    with started(command, {"PATH": ""}, tmp_path / "output", project) as service:
        wait_for((project / "instance/demo/postgres/postmaster.pid").exists)
        assert service.end(signal.SIGTERM) == 128 + signal.SIGTERM
        wait_for(lambda: nothing_left(service))
