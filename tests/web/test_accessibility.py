"""axe-core finds no violation on any page, in light and dark.

`npm ci --prefix .ci/axe` installs it.
"""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from browser import toast, window
from helpers import ROOT, Service
from tracker.demo.github import GitHub

pytestmark = pytest.mark.slow

AXE = ROOT / ".ci/axe/node_modules/axe-core/axe.min.js"
CHANGED = "django/django"  # no other test of the running service looks whether it is archived
# Colours are all that differs in dark.
RUN = "dark => axe.run(dark ? {runOnly: ['color-contrast']} : {}).then(found => found.violations)"


def violations(page: Page) -> list[str]:
    """Return what axe finds on the page as it is now, in light and in dark."""
    page.evaluate(AXE.read_text())
    found: list[dict[str, Any]] = page.evaluate(RUN, False)
    page.emulate_media(color_scheme="dark")
    found += page.evaluate(RUN, True)
    page.emulate_media(color_scheme="light")
    return [
        f"{page.url} {rule['id']}: {node['html']} {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_no_violation(
    browser: Browser,
    service: Service,
    live_github: GitHub,
    page: Page,
    make: Callable[..., dict[str, Any]],
    width: int,
) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not installed: npm ci --prefix .ci/axe")
    for status in ("open", "in_progress", "done"):
        fields = {"priority": "high", "tags": ["upgrade"], "due_date": "2020-01-31", "issue": 12}
        fields["repository"] = CHANGED
        task = make(
            title=f"Task {status}", status=status, description="https://a.example", **fields
        )
    last = make(repository="angular/angular.js", priority="low")
    repository = live_github.repositories[CHANGED]
    repository["archived"] = not repository["archived"]
    service.call("POST", f"/tasks/{task['id']}/refresh")
    # Colours that fade from light to dark would be measured on their way.
    options: dict[str, Any] = {
        "reduced_motion": "reduce",
        "viewport": {"width": width, "height": 800},
    }
    found = []
    with window(browser, service, **options) as opened:
        paths = ["/", f"/web/tasks/{task['id']}", "/web/repositories", "/web/changes"]
        if width > 1000:
            paths += ["/?q=nothing", "/?nope=1", f"/web/repositories/{CHANGED}", "/web/import"]
            paths += ["/web/help", "/web/login", "/web/nope"]
        for path in paths:
            opened.goto(path)
            found += violations(opened)
        opened.goto("/")
        opened.keyboard.press("j")
        opened.keyboard.press("x")
        opened.keyboard.press("e")
        editor = opened.locator(".editor")
        editor.get_by_label("Title").fill(" ")
        editor.get_by_role("button", name="Save").click()
        expect(editor.locator(".failure")).to_be_visible()
        found += violations(opened)
        service.call("PATCH", f"/tasks/{last['id']}", json={"title": "New"})
        editor.get_by_label("Title").fill("Mine")
        editor.get_by_role("button", name="Save").click()
        expect(opened.get_by_role("group", name="Conflict")).to_be_visible()
        found += violations(opened)
        opened.get_by_role("button", name="Cancel").click()
        opened.keyboard.press("d")
        toast(opened, "The task has changed since you read it")
        opened.keyboard.press("?")
        expect(opened.get_by_role("dialog")).to_be_visible()
        found += violations(opened)
    assert found == []
