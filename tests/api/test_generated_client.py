"""A client that openapi-python-client generates from the document can do all that the API can."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import Service, served
from tracker.demo.github import GitHub

PROGRAM = """
import sys
from http import HTTPStatus

from tracker_client import AuthenticatedClient
from tracker_client.api.health import get_liveness, get_readiness
from tracker_client.api.tasks import (
    create_task,
    delete_task,
    get_task,
    list_tasks,
    refresh_task,
    replace_task,
    update_task,
)
from tracker_client.models import (
    Error,
    ErrorReason,
    Health,
    ListTasksSort,
    MetadataStatus,
    Priority,
    Status,
    Task,
    TaskInput,
    TaskPatch,
)
from tracker_client.types import UNSET, Unset

client = AuthenticatedClient(sys.argv[1], token="a-token", raise_on_unexpected_status=True)


def task(found: Task | Error | None) -> Task:
    assert isinstance(found, Task), found
    return found


for health in (get_liveness.sync(client=client), get_readiness.sync(client=client)):
    assert isinstance(health, Health)
    assert health.status == "ok"

new = TaskInput("Read how Flask signals errors", "pallets/flask", priority=Priority.HIGH)
created = task(create_task.sync(client=client, body=new, idempotency_key="a-key"))
again = task(create_task.sync(client=client, body=new, idempotency_key="a-key"))
assert created == again
assert created.status is Status.OPEN
assert created.metadata_status is MetadataStatus.CURRENT
assert created.stars == 70_000

# What a response has fits into a request.
same = TaskInput(
    title=created.title,
    repository=created.repository,
    description=created.description,
    status=created.status,
    priority=created.priority,
    tags=created.tags,
    due_date=created.due_date,
    issue=created.issue,
)
replaced = task(replace_task.sync(created.id, client=client, body=same, if_match='"1"'))
assert replaced == created

patch = TaskPatch(status=Status.DONE)
updated = task(update_task.sync(created.id, client=client, body=patch, if_match='"1"'))
assert (updated.status, updated.version) == (Status.DONE, 2)
refused = update_task.sync(created.id, client=client, body=patch, if_match='"1"')
assert isinstance(refused, Error)
assert (refused.code, refused.reason) == (412, ErrorReason.PRECONDITION_FAILED)

refreshed = task(refresh_task.sync(created.id, client=client))
assert refreshed.version == 2

listed = list_tasks.sync(
    client=client, status=[updated.status], sort=ListTasksSort.STARS_DESCENDING, limit=1, total=True
)
assert isinstance(listed, list)
assert [each.id for each in listed] == [created.id]
assert list_tasks.sync(client=client, priority=[Priority.LOW], tag=["none"]) == []
invalid = list_tasks.sync(client=client, cursor="nonsense")
assert isinstance(invalid, Error)
assert not isinstance(invalid.errors, Unset)
assert "query" in invalid.errors.to_dict()

unchanged = get_task.sync_detailed(created.id, client=client, if_none_match='"2"')
assert (unchanged.status_code, unchanged.parsed) == (HTTPStatus.NOT_MODIFIED, None)
deleted = delete_task.sync_detailed(created.id, client=client, if_match=UNSET)
assert deleted.status_code == HTTPStatus.NO_CONTENT
gone = get_task.sync(created.id, client=client)
assert isinstance(gone, Error)
assert gone.code == 404
print("done")
"""


@pytest.mark.slow
def test_a_generated_client_runs_the_whole_cycle_and_is_well_typed(
    environment: dict[str, str], github: GitHub, tmp_path: Path
) -> None:
    pytest.importorskip("openapi_python_client", reason="openapi-python-client needs Python 3.11")
    environment |= {"WEB_CONCURRENCY": "1", "API_TOKEN": "a-token"}
    with served(environment, tmp_path / "output") as service:
        generate(service, tmp_path)
        (tmp_path / "program.py").write_text(PROGRAM)
        run(tmp_path, "mypy", "--strict", "--cache-dir=.mypy_cache", "program.py", "tracker_client")
        assert run(tmp_path, "program", f"http://127.0.0.1:{service.port}") == "done\n"


def generate(service: Service, folder: Path) -> None:
    """Generate the package `tracker_client` from the service's document."""
    document = folder / "openapi.json"
    described = service.call("GET", "/openapi.json").json()
    # The generator knows no body of text: it uploads an import as a file.
    body = described["paths"]["/tasks/import"]["post"]["requestBody"]["content"]["text/plain"]
    body["schema"]["format"] = "binary"
    document.write_text(json.dumps(described))
    # Nor does it know Atom; a feed is text.
    overrides = {"application/atom+xml": "text/xml", "text/plain": "application/octet-stream"}
    config = {"post_hooks": [], "content_type_overrides": overrides}
    (folder / "config.json").write_text(json.dumps(config))
    said = run(
        folder,
        "openapi_python_client",
        "generate",
        f"--path={document}",
        "--config=config.json",
        "--meta=none",
        "--output-path=tracker_client",
        "--fail-on-warning",
    )
    assert "warning" not in said.lower()


def run(folder: Path, *command: str) -> str:
    """Run a module of Python in a folder; return its output."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
