"""A browser, its windows, and what its page says."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from helpers import PATIENCE, Service

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Without these the browser itself calls its maker's servers.
QUIET = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
EXPECTED = "Failed to load resource"  # Chromium's line about each response that is an error


@contextmanager
def launched() -> Iterator[Browser]:
    """Start a browser, or skip the test."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"none of the browsers {', '.join(BROWSERS)} is installed")
    with sync_playwright() as playwright:
        sandbox = os.getuid() != 0  # Chromium has none for root
        browser = playwright.chromium.launch(
            executable_path=path, chromium_sandbox=sandbox, args=QUIET
        )
        yield browser
        browser.close()


@dataclass
class Window:
    """A page of the browser, and what went wrong in it."""

    page: Page
    problems: list[str] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)


@contextmanager
def window(
    browser: Browser, service: Service, refusals: bool = True, **options: Any
) -> Iterator[Page]:
    """Open a window; fail if its page writes an error, or calls another server.

    Without `refusals`, a response with an error fails, too.
    """
    address = f"http://127.0.0.1:{service.port}/"
    context = browser.new_context(base_url=address, **options)
    page = context.new_page()
    opened = Window(page)
    page.set_default_timeout(PATIENCE * 1000)
    page.on("console", lambda m: opened.problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: opened.problems.append(str(error)))
    page.on("request", lambda request: opened.urls.append(request.url))
    yield page
    context.close()
    assert [text for text in opened.problems if not (refusals and EXPECTED in text)] == []
    assert [url for url in opened.urls if not url.startswith((address, "data:"))] == []


@contextmanager
def away(server: dict[str, Any], database: str) -> Iterator[None]:
    """Keep the service from a database until the block ends."""
    with closing(psycopg2.connect(**server)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = %s AND application_name = 'github-task-tracker'",
            [database],
        )
        try:
            yield
        finally:
            cursor.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")


@contextmanager
def held(page: Page, pattern: str) -> Iterator[list[Route]]:
    """Keep requests from the service until the block ends and one has come; await the responses."""
    routes: list[Route] = []
    page.route(pattern, lambda route: routes.append(route))
    yield routes
    deadline = time.monotonic() + PATIENCE
    while not routes:
        assert time.monotonic() < deadline, pattern
        page.wait_for_timeout(10)
    for route in routes:
        route.continue_()
    page.unroute(pattern)
    for route in routes:
        if response := route.request.response():
            response.finished()
    page.wait_for_timeout(100)  # for what the page does with them


def toast(page: Page, text: str) -> None:
    """Wait until the page says something."""
    expect(page.locator("#toast")).to_contain_text(text)


def focused(page: Page) -> str:
    """Return the id of the element with the focus, or its name."""
    found: str = page.evaluate("document.activeElement.id || document.activeElement.tagName")
    return found
