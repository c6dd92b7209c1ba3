"""The page in a browser: impatient hands, slow responses, and choices that must count."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from browser import focused, toast
from helpers import Service

pytestmark = pytest.mark.slow
Create = Callable[..., dict[str, Any]]
Stored = Callable[[], list[dict[str, Any]]]
MANY = "".join(f"pallets/flask Task {number}\n" for number in range(40))


def scrolled(page: Page) -> int:
    """Return how far the page is scrolled."""
    found: int = page.evaluate("Math.round(window.scrollY)")
    return found


def test_a_tick_leaves_the_list_where_it_is(page: Page, service: Service, stored: Stored) -> None:
    service.call("POST", "/tasks/import", data=MANY, headers={"Content-Type": "text/plain"})
    page.goto("/?sort=created_at&limit=50")
    page.mouse.move(300, 300)
    page.mouse.wheel(0, 500)
    page.wait_for_function("window.scrollY > 400")
    place = scrolled(page)
    ticks = [tick.bounding_box() for tick in page.locator(".tick").all()]
    shown = [n for n, box in enumerate(ticks) if box and 150 < box["y"] < 350]
    for number in shown[:2]:
        box = ticks[number]
        assert box
        page.mouse.click(box["x"] + 5, box["y"] + 5)
        toast(page, "1 task done.")
        expect(page.locator(".row").nth(number)).to_have_class("row done at")
        assert scrolled(page) == place
    done = [number for number, task in enumerate(stored()) if task["status"] == "done"]
    assert done == shown[:2]


def test_a_renewal_leaves_the_focus_and_the_scroll_alone(page: Page, service: Service) -> None:
    service.call("POST", "/tasks/import", data=MANY, headers={"Content-Type": "text/plain"})
    page.goto("/?sort=created_at")
    page.keyboard.press("j")
    page.evaluate("document.activeElement.blur()")
    page.evaluate("window.scrollTo(0, 500)")
    page.evaluate("renew()")
    assert (focused(page), scrolled(page)) == ("BODY", 500)


def test_the_keys_keep_the_row_in_view(page: Page, service: Service) -> None:
    service.call("POST", "/tasks/import", data=MANY, headers={"Content-Type": "text/plain"})
    page.goto("/?sort=created_at")
    for _ in range(25):
        page.keyboard.press("j")
    expect(page.locator(".row").nth(24)).to_be_in_viewport()


def test_back_selects_nothing(page: Page, make: Create) -> None:
    for number in range(3):
        make(title=f"task {number}")
    page.goto("/?sort=created_at")
    page.locator(".row > input").first.check()
    page.goto("/web/help")
    page.go_back()
    expect(page.locator(".row")).to_have_count(3)
    expect(page.locator(".row > input:checked")).to_have_count(0)
