"""axe-core finds no violation on any page, in light and dark.

`npm ci --prefix .ci/axe` installs it.
"""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from helpers import ROOT, Service

from .browser import window

pytestmark = pytest.mark.slow

AXE = ROOT / ".ci/axe/node_modules/axe-core/axe.min.js"


def violations(page: Page) -> list[str]:
    """Return what axe finds on the page as it is now."""
    page.evaluate(AXE.read_text())
    found: dict[str, Any] = page.evaluate("axe.run()")
    return [
        f"{page.url} {rule['id']}: {node['html']} {node['failureSummary']}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_no_violation(
    browser: Browser,
    service: Service,
    page: Page,
    make: Callable[..., dict[str, Any]],
    scheme: Any,
    width: int,
) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not installed: npm ci --prefix .ci/axe")
    for status in ("open", "in_progress", "done"):
        fields = {"priority": "high", "tags": ["upgrade"], "due_date": "2020-01-31", "issue": 12}
        task = make(
            title=f"Task {status}", status=status, description="https://a.example", **fields
        )
    make(repository="angular/angular.js", priority="low")
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    found = []
    with window(browser, service, **options) as opened:
        paths = ["/", "/?q=nothing", "/?nope=1", f"/web/tasks/{task['id']}", "/web/help"]
        paths += ["/web/repositories", "/web/repositories/pallets/flask", "/web/changes"]
        for path in [*paths, "/web/login", "/web/nope"]:
            opened.goto(path)
            found += violations(opened)
        opened.goto("/")
        opened.keyboard.press("j")
        opened.keyboard.press("x")
        opened.keyboard.press("e")
        expect(opened.locator(".editor")).to_be_visible()
        found += violations(opened)
        opened.locator(".editor").get_by_label("Title").fill(" ")
        opened.locator(".editor").get_by_role("button", name="Save").click()
        expect(opened.locator(".editor .failure")).to_be_visible()
        found += violations(opened)
        opened.get_by_role("button", name="Cancel").click()
        opened.keyboard.press("d")
        expect(opened.locator("#toast")).not_to_be_empty()
        found += violations(opened)
        opened.keyboard.press("?")
        expect(opened.get_by_role("dialog")).to_be_visible()
        found += violations(opened)
    assert found == []
