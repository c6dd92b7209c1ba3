"""The page in a browser: impatient hands, slow responses, and choices that must count."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from browser import focused, toast
from helpers import Service, wait_for

pytestmark = pytest.mark.slow
Create = Callable[..., dict[str, Any]]
Stored = Callable[[], list[dict[str, Any]]]
MANY = "".join(f"pallets/flask Task {number}\n" for number in range(40))


class Slow:
    """Requests of a page that wait until they are released."""

    def __init__(self, page: Page, pattern: str, method: str) -> None:
        self.page = page
        self.pattern = pattern
        self.method = method
        self.waiting: list[Route] = []
        page.route(pattern, self._keep)

    def _keep(self, route: Route) -> None:
        if route.request.method == self.method:
            self.waiting.append(route)
        else:
            route.fallback()

    def wait(self) -> None:
        """Wait until a request is kept."""
        for _ in range(500):
            if self.waiting:
                return
            self.page.wait_for_timeout(10)
        raise AssertionError(f"no {self.method} of {self.pattern}")

    def release(self) -> int:
        """Send the requests, and return how many there were."""
        self.page.wait_for_timeout(200)  # a second request would be here by now
        for route in self.waiting:
            route.continue_()
        self.page.unroute(self.pattern)
        return len(self.waiting)


def lose(route: Route) -> None:
    """Send a request whose response never arrives."""
    route.fetch()
    route.abort()


@pytest.fixture(autouse=True)
def intercepting(page: Page) -> None:
    """Intercept requests from the start: Chromium may miss some right after a first route."""
    page.route("**/never", lambda route: route.abort())


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


@pytest.mark.parametrize("choice", ["theirs", "mine"])
@pytest.mark.parametrize("way", ["Enter", "Save", "Save this choice"])
def test_a_choice_counts_however_it_is_saved(
    page: Page, service: Service, make: Create, stored: Stored, way: str, choice: str
) -> None:
    task = make(title="one", tags=["a"], priority="low")
    page.goto(f"/web/tasks/{task['id']}")
    theirs = {"title": "theirs", "tags": ["b", "c"], "priority": "high"}
    service.call("PATCH", f"/tasks/{task['id']}", json=theirs)
    page.get_by_label("Title").fill("mine")
    page.get_by_label("Tags").fill("d")
    page.get_by_label("Priority").select_option("normal")
    page.get_by_role("button", name="Save").click()
    for name in ("title", "tags", "priority"):
        page.locator(f"[name=keep-{name}][value=theirs]").check()
        page.locator(f"[name=keep-{name}][value={choice}]").check()
    if way == "Enter":
        page.get_by_label("Title", exact=True).press("Enter")
    else:
        page.get_by_role("button", name=way, exact=True).click()
    toast(page, "Saved #")
    mine = {"title": "mine", "tags": ["d"], "priority": "normal"}
    expected = {"theirs": theirs, "mine": mine}[choice]
    assert {name: stored()[0][name] for name in expected} == expected
    if choice == "mine":
        page.keyboard.press("u")
        toast(page, "is as before")
        assert {name: stored()[0][name] for name in theirs} == theirs


@pytest.mark.parametrize(
    "typed",
    [
        {"#f-repository": "https://github.com/moby/moby.git"},
        {"#f-repository": "git clone git@github.com:moby/moby.git"},
        {"#f-tags": "b\nB\nc"},
    ],
)
def test_a_lost_save_is_no_conflict_with_oneself(
    page: Page, make: Create, typed: dict[str, str]
) -> None:
    task = make(title="one", tags=["a"])
    page.goto(f"/web/tasks/{task['id']}")
    for field, text in typed.items():
        page.locator(field).fill(text)
    page.route(f"**/tasks/{task['id']}", lose)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("can't be reached")
    page.unroute(f"**/tasks/{task['id']}")
    page.get_by_role("button", name="Save").click()
    toast(page, "Saved #")


def test_back_selects_nothing(page: Page, make: Create) -> None:
    for number in range(3):
        make(title=f"task {number}")
    page.goto("/?sort=created_at")
    page.locator(".row > input").first.check()
    page.goto("/web/help")
    page.go_back()
    expect(page.locator(".row")).to_have_count(3)
    expect(page.locator(".row > input:checked")).to_have_count(0)


@pytest.mark.parametrize("way", ["click", "key"])
def test_an_import_runs_once(page: Page, stored: Stored, way: str) -> None:
    page.goto("/web/import")
    page.get_by_label("Or text").fill("pallets/flask One\npallets/flask Two")
    page.get_by_role("button", name="Check").click()
    button = page.get_by_role("button", name="Import 2 tasks")
    expect(button).to_be_visible()
    slow = Slow(page, "**/tasks/import?*", "POST")
    for _ in range(2):
        button.click() if way == "click" else button.press("Enter")
        slow.wait()
        page.wait_for_timeout(450)  # no double click
    assert slow.release() == 1
    expect(page.locator("#outcome")).to_contain_text("2 tasks imported.")
    assert len(stored()) == 2


def test_a_lost_response_and_a_reload_add_one_task(page: Page, stored: Stored) -> None:
    page.goto("/")
    page.route("**/tasks", lose)
    page.locator("#line").fill("pallets/flask Once")
    page.locator("#line").press("Enter")
    expect(page.locator("#preview")).to_contain_text("The service can't be reached")
    page.unroute("**/tasks")
    page.reload()
    page.locator("#line").press("Enter")
    toast(page, "Added #")
    page.locator("#line").fill("pallets/flask Once")
    page.locator("#line").press("Enter")
    wait_for(lambda: len(stored()) == 2)


def test_a_second_line_waits_for_the_first(page: Page, stored: Stored) -> None:
    page.goto("/")
    slow = Slow(page, "**/tasks", "POST")
    page.locator("#line").fill("pallets/flask One")
    page.locator("#line").press("Enter")
    slow.wait()
    page.locator("#line").fill("pallets/flask Two")
    page.locator("#line").press("Enter")
    assert slow.release() == 1
    expect(page.locator(".title")).to_have_text(["Two", "One"])
    assert [task["title"] for task in stored()] == ["One", "Two"]
    expect(page.locator("#line")).to_have_value("")


def test_a_line_typed_during_an_add_stays(page: Page, stored: Stored) -> None:
    page.goto("/")
    slow = Slow(page, "**/tasks", "POST")
    page.locator("#line").fill("pallets/flask One")
    page.locator("#line").press("Enter")
    slow.wait()
    page.locator("#line").fill("pallets/flask Tw")
    slow.release()
    toast(page, "Added #")
    expect(page.locator("#line")).to_have_value("pallets/flask Tw")
    page.reload()
    expect(page.locator("#line")).to_have_value("pallets/flask Tw")
    assert [task["title"] for task in stored()] == ["One"]


def test_a_first_line_that_failed_is_named(page: Page, stored: Stored) -> None:
    page.goto("/")
    slow = Slow(page, "**/web/preview?line=nonsense+One", "GET")
    page.locator("#line").fill("nonsense One")
    page.locator("#line").press("Enter")
    slow.wait()
    page.locator("#line").fill("pallets/flask Two")
    page.locator("#line").press("Enter")
    slow.release()
    toast(page, "Not added: nonsense One (")
    expect(page.locator("#line")).to_have_value("pallets/flask Two")
    page.locator("#line").press("Enter")
    toast(page, "Added #")
    assert [task["title"] for task in stored()] == ["Two"]


@pytest.mark.parametrize("place", ["row", "task"])
def test_text_typed_during_a_save_stays(
    page: Page, make: Create, stored: Stored, place: str
) -> None:
    task = make(title="one")
    page.goto("/" if place == "row" else f"/web/tasks/{task['id']}")
    if place == "row":
        page.keyboard.press("j")
        page.keyboard.press("e")
    form = page.locator("#edit")
    form.get_by_label("Title").fill("two")
    form.locator("#f-repository").fill("https://github.com/moby/moby")
    slow = Slow(page, f"**/tasks/{task['id']}", "PATCH")
    form.get_by_label("Title").press("Enter")
    slow.wait()
    form.get_by_label("Description").fill("typed meanwhile")
    slow.release()
    toast(page, "What you typed meanwhile is not saved yet.")
    assert stored()[0]["title"] == "two"
    expect(form.get_by_label("Description")).to_have_value("typed meanwhile")
    expect(form.locator("#f-repository")).to_have_value("moby/moby")
    form.get_by_role("button", name="Save").click()
    expect(page.locator("#toast")).to_have_text(f"Saved #{task['id']}.Undo×")
    assert (stored()[0]["title"], stored()[0]["description"]) == ("two", "typed meanwhile")


def test_a_save_runs_once(page: Page, make: Create, stored: Stored) -> None:
    task = make(title="one")
    page.goto(f"/web/tasks/{task['id']}")
    page.get_by_label("Title").fill("two")
    slow = Slow(page, f"**/tasks/{task['id']}", "PATCH")
    page.get_by_label("Title").press("Enter")
    page.get_by_label("Title").press("Enter")
    slow.wait()
    assert slow.release() == 1
    toast(page, "Saved #")
    assert stored()[0]["version"] == 2


def test_more_typing_after_the_warning_warns_again(page: Page, make: Create) -> None:
    make(title="one")
    page.goto("/")
    page.keyboard.press("j")
    page.keyboard.press("e")
    title = page.locator(".editor").get_by_label("Title")
    for text in ("two", "three"):
        title.fill(text)
        title.press("Escape")
        toast(page, "There are unsaved changes")
        expect(title).to_have_value(text)
    title.press("Escape")
    expect(title).to_have_count(0)


@pytest.mark.parametrize("way", ["click", "hold"])
def test_an_impatient_undo_takes_back_one_change(
    page: Page, make: Create, stored: Stored, way: str
) -> None:
    for title in ("one", "two"):
        make(title=title)
    page.goto("/?sort=created_at")
    for title in ("one", "two"):
        page.get_by_role("button", name=f"Mark done: {title}").click()
        expect(page.get_by_role("button", name=f"Reopen: {title}")).to_be_visible()
    slow = Slow(page, f"**/tasks/{stored()[1]['id']}", "PATCH")
    if way == "click":
        for _ in range(2):
            page.get_by_role("button", name="Undo").click()
            page.wait_for_timeout(450)  # no double click
    else:
        page.keyboard.down("u")
        page.keyboard.down("u")
    assert slow.release() == 1
    toast(page, "Undone: 1 task.")
    if way == "hold":
        page.keyboard.down("u")
    page.wait_for_timeout(200)
    assert [task["status"] for task in stored()] == ["done", "open"]


def test_a_double_click_ticks_one_task(page: Page, make: Create, stored: Stored) -> None:
    make(title="one"), make(title="two")
    page.goto("/?status=open&sort=created_at")
    box = page.locator(".tick").first.bounding_box()
    assert box
    place = (box["x"] + 5, box["y"] + 5)
    page.mouse.click(*place)
    expect(page.locator(".row")).to_have_count(1)
    page.mouse.move(*place)
    page.mouse.down(click_count=2)
    page.mouse.up(click_count=2)
    page.wait_for_timeout(200)
    assert [task["status"] for task in stored()] == ["done", "open"]


def test_two_taps_on_one_place_are_one_click(page: Page) -> None:
    page.goto("/")
    box = page.locator("#theme").bounding_box()
    assert box
    theme = "document.documentElement.dataset.theme"
    before = page.evaluate(theme)
    for _ in range(2):  # the browser counts each as a first click
        page.mouse.click(box["x"] + 5, box["y"] + 5)
    assert page.evaluate(theme) != before


def test_two_ticks_of_one_task_are_one_change(page: Page, make: Create, stored: Stored) -> None:
    task = make()
    page.goto("/")
    page.keyboard.press("j")
    slow = Slow(page, f"**/tasks/{task['id']}", "PATCH")
    page.keyboard.press("d")
    slow.wait()
    page.keyboard.press("d")
    assert slow.release() == 1
    toast(page, "1 task done.")
    assert stored()[0]["version"] == 2


def test_a_double_click_on_a_bulk_change_is_one_change(
    page: Page, make: Create, stored: Stored
) -> None:
    for number in range(3):
        make(title=f"task {number}")
    page.goto("/?sort=created_at")
    for box in page.locator(".row > input").all():
        box.check()
    page.locator("#bulk").get_by_role("button", name="Mark done").click()
    page.locator("#bulk").get_by_role("button", name="Mark done").click()
    toast(page, "3 tasks done.")
    page.wait_for_timeout(200)
    assert "failed" not in page.locator("#toast").inner_text()
    assert {task["version"] for task in stored()} == {2}


@pytest.mark.parametrize(("button", "answer"), [("Tag…", "new"), ("Due…", "2030-01-31")])
def test_a_renewal_during_a_dialog_keeps_all_that_match(
    page: Page, make: Create, stored: Stored, button: str, answer: str
) -> None:
    for number in range(3):
        make(title=f"task {number}")
    page.goto("/?limit=2")
    for box in page.locator(".row > input").all():
        box.check()
    page.get_by_role("button", name="Select all 3 tasks that match").click()
    page.get_by_role("button", name=button).click()
    page.evaluate("renew()")
    page.locator("#answer").fill(answer)
    page.locator("#answer").press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("3 tasks?")
    page.get_by_role("dialog").get_by_role("button").first.click()
    toast(page, "3 tasks ")
    assert all(answer in (task["due_date"], *task["tags"]) for task in stored())


def test_a_renewal_during_a_dialog_keeps_the_focus(
    page: Page, service: Service, make: Create
) -> None:
    task = make()
    page.goto("/")
    page.locator(".row > input").check()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.evaluate("renew()")
    page.get_by_role("button", name="Cancel").click()
    wait_for(lambda: focused(page) == f"a{task['id']}")
    page.get_by_role("button", name="Tag…").click()
    service.call("PATCH", f"/tasks/{task['id']}", json={"title": "Seen behind the dialog"})
    page.evaluate("renew()")
    page.locator("#answer").fill("new")
    page.locator("#answer").press("Enter")
    toast(page, "1 task tagged.")


def test_a_change_need_not_wait_for_the_list(page: Page, make: Create, stored: Stored) -> None:
    task = make(title="12. one")
    page.goto("/?sort=title")
    page.locator(".row > input").check()
    slow = Slow(page, "**/?sort=title", "GET")
    page.locator("#bulk").get_by_role("button", name="Mark done").click()
    slow.wait()
    page.locator("#bulk").get_by_role("button", name="Reopen").click()
    toast(page, "1 task reopened.")
    slow.release()
    assert (stored()[0]["status"], stored()[0]["version"]) == ("open", task["version"] + 2)


def test_an_undo_that_is_tried_again_leaves_out_what_it_did(
    page: Page, make: Create, stored: Stored
) -> None:
    ids = [make(title=f"task {number}")["id"] for number in range(2)]
    page.goto("/?sort=created_at")
    for box in page.locator(".row > input").all():
        box.check()
    page.locator("#bulk").get_by_role("button", name="Mark done").click()
    toast(page, "2 tasks done.")
    page.route(f"**/tasks/{ids[1]}", lambda route: route.abort())
    page.keyboard.press("u")
    toast(page, "1 task not undone: The service can't be reached")
    page.unroute(f"**/tasks/{ids[1]}")
    page.keyboard.press("u")
    toast(page, "Undone: 1 task.")
    assert {task["status"] for task in stored()} == {"open"}
