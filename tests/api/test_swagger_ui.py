"""Swagger UI in a browser: each operation can be tried out as it is prefilled."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from browser import window
from helpers import Service, copy_project, started, wait_for

pytestmark = pytest.mark.slow

# Each operation with a media type of its body and its status, in an order in which the task exists.
OPERATIONS = [
    ("tasks-listTasks", None, "200"),
    ("counts-countTasks", None, "200"),
    ("tasks-createTask", "application/json", "201"),
    ("tasks-getTask", None, "200"),
    ("export-exportTasks", None, "200"),
    ("imports-importTasks", "text/plain", "200"),
    ("tasks-refreshTask", None, "200"),
    ("tasks-replaceTask", "application/json", "200"),
    ("tasks-updateTask", "application/json", "200"),
    ("tasks-updateTask", "application/merge-patch+json", "200"),
    ("bulk-updateTasks", "application/json", "200"),
    ("bulk-updateTasks", "application/merge-patch+json", "200"),
    ("tasks-deleteTask", None, "204"),
    ("bulk-deleteTasks", None, "200"),
    ("changes-listChanges", None, "200"),
    ("changes-getChangesFeed", None, "200"),
    ("changes-listStars", None, "200"),
    ("repositories-listRepositories", None, "200"),
    ("repositories-getRepository", None, "200"),
    ("repositories-refreshRepository", None, "200"),
    ("rate_limit-getRateLimit", None, "200"),
    ("metrics-getMetrics", None, "200"),
    ("health-getLiveness", None, "200"),
    ("health-getReadiness", None, "200"),
]


@pytest.fixture
def demo(browser: Browser, tmp_path: Path) -> Iterator[Service]:
    """A fresh demo, from a copy of the project."""
    project = copy_project(tmp_path / "project")
    command = [sys.executable, "-m", "flask", "demo"]
    with started(command, {"PATH": ""}, tmp_path / "output", project) as service:
        wait_for(service.answers)
        yield service


@pytest.fixture
def page(browser: Browser, demo: Service) -> Iterator[Page]:
    """A window of a browser."""
    with window(browser, demo, refusals=False) as page:
        yield page


def test_each_operation_can_be_tried_out_as_it_is_prefilled(page: Page, demo: Service) -> None:
    for operation, media_type, status in OPERATIONS:
        before = task(demo)
        page.goto("/docs")
        assert try_out(page, operation, media_type) == [status], operation
        if operation == "tasks-updateTask":
            changed = {name for name in before if before[name] != task(demo)[name]}
            assert changed == {"status", "completed_at", "version", "updated_at"}
            assert demo.call("PATCH", "/tasks/1", json={"status": "open"}).status_code == 200
    shown = page.eval_on_selector_all(".opblock", "blocks => blocks.map(block => block.id)")
    assert set(shown) == {f"operations-{operation}" for operation, *_ in OPERATIONS}


def task(demo: Service) -> dict[str, Any]:
    """Return the task that the examples are about."""
    found: dict[str, Any] = demo.call("GET", "/tasks/1").json()
    return found


def try_out(page: Page, operation: str, media_type: str | None) -> list[str]:
    """Execute an operation as it is prefilled; return the words that the page shows as status."""
    block = page.locator(f"#operations-{operation}")
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    if media_type:
        block.get_by_label("Request content type").select_option(media_type)
    block.get_by_role("button", name="Execute").click()
    status = block.locator(".live-responses-table .response .response-col_status")
    expect(status).to_be_visible()
    return status.inner_text().split()
