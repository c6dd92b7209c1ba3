"""The page in a browser: its script, keys, conflicts and failures."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from browser import focused, toast, window
from helpers import Service
from tracker.demo.github import GitHub

pytestmark = pytest.mark.slow
VIEWS = ["/web/repositories", "/web/repositories/pallets/flask", "/web/changes"]
VIEWS += ["/web/import", "/web/help", "/web/login", "/?q=nothing"]
Create = Callable[..., dict[str, Any]]
Stored = Callable[[], list[dict[str, Any]]]


def test_a_task_is_added_with_a_preview_and_undone(
    page: Page, make: Create, stored: Stored
) -> None:
    make()
    page.goto("/")
    page.locator("#line").press_sequentially("pallets/flask Try 3.2 +upgrade due:tomorrow !high")
    preview = page.locator("#preview")
    tomorrow = date.today() + timedelta(1)
    expect(preview).to_contain_text(f"due {tomorrow:%a}")
    for part in (
        "→ pallets/flask ★ 70k",
        "Try 3.2",
        "high priority",
        "+upgrade",
        "1 other task on it",
    ):
        expect(preview).to_contain_text(part)
    page.locator("#line").press("Enter")
    toast(page, "Added #")
    expect(page.locator(".row")).to_have_count(2)
    task = stored()[1]
    assert (task["title"], task["tags"], task["priority"]) == ("Try 3.2", ["upgrade"], "high")
    assert task["due_date"] == tomorrow.isoformat()
    assert page.locator("#line").input_value() == ""
    assert focused(page) == "line"
    page.get_by_role("button", name="Undo").click()
    toast(page, "is deleted")
    expect(page.locator(".row")).to_have_count(1)


def test_github_is_not_asked_for_a_name_that_is_being_typed(
    page: Page, live_github: GitHub
) -> None:
    page.goto("/")
    before = len(live_github.calls)
    page.locator("#line").press_sequentially("psf/request", delay=60)
    page.wait_for_timeout(400)
    assert len(live_github.calls) == before
    page.locator("#line").press_sequentially("s x")
    expect(page.locator("#preview")).to_contain_text("psf/requests ★")
    assert len(live_github.calls) == before + 1


def test_a_double_click_adds_one_task(page: Page, stored: Stored) -> None:
    page.goto("/")
    page.locator("#line").fill("pallets/flask Once")
    page.get_by_role("button", name="Add").dblclick()
    toast(page, "Added #")
    assert len(stored()) == 1


def test_a_lost_response_adds_one_task(page: Page, stored: Stored) -> None:
    page.goto("/")
    page.locator("#line").fill("pallets/flask Once")

    def lose(route: Any) -> None:
        route.fetch()
        route.abort()

    page.route("**/tasks", lose)
    page.locator("#line").press("Enter")
    expect(page.locator("#preview")).to_contain_text("The service can't be reached")
    assert page.locator("#line").input_value() == "pallets/flask Once"
    page.unroute("**/tasks")
    page.locator("#line").press("Enter")
    toast(page, "Added #")
    assert len(stored()) == 1


def test_without_a_network_the_typed_text_outlives_a_reload(page: Page) -> None:
    page.goto("/")
    page.context.set_offline(True)
    page.locator("#line").fill("pallets/flask Keep me")
    page.locator("#line").press("Enter")
    expect(page.locator("#preview")).to_contain_text("Nothing that you typed is lost")
    page.context.set_offline(False)
    page.reload()
    assert page.locator("#line").input_value() == "pallets/flask Keep me"


@pytest.mark.parametrize(
    ("name", "message"), [("503", "failed with status 503"), ("silent", "within 2 s")]
)
def test_a_failure_of_github_offers_to_save_without_metadata(
    page: Page, stored: Stored, name: str, message: str
) -> None:
    page.goto("/")
    page.locator("#line").fill(f"faults/{name} Wait")
    page.locator("#line").press("Enter")
    expect(page.locator("#preview")).to_contain_text(message)
    page.get_by_role("button", name="Save without metadata").click()
    toast(page, "Added #")
    assert stored()[0]["metadata_status"] == "pending"


def test_a_tick_is_one_click_and_can_be_undone(page: Page, make: Create, stored: Stored) -> None:
    make(title="one", status="in_progress"), make(title="two")
    page.goto("/?status=open&status=in_progress&sort=created_at")
    page.get_by_role("button", name="Mark done: one").click()
    toast(page, "1 task done.")
    expect(page.locator(".row")).to_have_count(1)
    assert focused(page) == f"a{stored()[1]['id']}"
    page.keyboard.press("u")
    toast(page, "Undone: 1 task.")
    expect(page.locator(".row")).to_have_count(2)
    assert [task["status"] for task in stored()] == ["in_progress", "open"]


def test_a_tick_of_a_task_that_changed_meanwhile_changes_nothing(
    page: Page, service: Service, make: Create, stored: Stored
) -> None:
    task = make()
    page.goto("/")
    service.call("PATCH", f"/tasks/{task['id']}", json={"title": "Other"})
    page.get_by_role("button", name="Mark done:").click()
    toast(page, "The task has changed since you read it")
    expect(page.locator(".title")).to_have_text("Other")
    assert stored()[0]["status"] == "open"


def test_a_task_is_edited_in_its_row(page: Page, make: Create, stored: Stored) -> None:
    make(title="one", tags=["a"]), make(title="two")
    page.goto("/?sort=created_at")
    page.keyboard.press("j")
    page.keyboard.press("e")
    editor = page.locator(".editor")
    expect(editor.get_by_label("Title")).to_be_focused()
    editor.get_by_label("Title").fill(" ")
    editor.get_by_role("button", name="Save").click()
    expect(editor).to_contain_text("Length must be between 1 and 200.")
    expect(editor.get_by_label("Title")).to_be_focused()
    editor.get_by_label("Title").fill("changed")
    editor.get_by_label("Tags").fill("a\nb c")
    editor.get_by_label("Title").press("Enter")
    toast(page, "Saved #")
    task = stored()[0]
    assert (task["title"], task["tags"], task["version"]) == ("changed", ["a", "b c"], 2)
    assert focused(page) == f"a{task['id']}"
    page.keyboard.press("u")
    toast(page, "is as before")
    assert stored()[0]["title"] == "one"


def test_two_windows_on_one_task_choose_field_by_field(
    page: Page, browser: Browser, service: Service, make: Create, stored: Stored
) -> None:
    task = make(title="one")
    with window(browser, service) as other:
        for each in (page, other):
            each.goto(f"/web/tasks/{task['id']}")
        other.get_by_label("Title").fill("theirs")
        other.get_by_label("Priority").select_option("high")
        other.get_by_label("Description").fill("theirs too")
        other.get_by_role("button", name="Save").click()
        expect(other.locator("h1")).to_have_text("theirs")
    page.get_by_label("Title").fill("mine")
    page.get_by_label("Priority").select_option("low")
    page.get_by_role("button", name="Save").click()
    conflict = page.get_by_role("group", name="Conflict")
    expect(conflict.locator("tr")).to_have_count(2)
    expect(conflict).to_contain_text("Keep mine: mine")
    expect(conflict).to_contain_text("Take theirs: theirs")
    conflict.get_by_label("Take theirs: high").check()
    conflict.get_by_role("button", name="Save this choice").click()
    expect(page.locator("h1")).to_have_text("mine")
    task = stored()[0]
    assert (task["title"], task["priority"], task["description"]) == ("mine", "high", "theirs too")


def test_several_tasks_are_changed_deleted_and_restored(
    page: Page, make: Create, stored: Stored
) -> None:
    for number in range(4):
        make(title=f"task {number}", tags=["Old"])
    page.goto("/?sort=created_at")
    expect(page.locator("#bulk")).to_be_hidden()
    for number in (0, 2):
        page.get_by_role("checkbox", name=f"task {number}").check()
    expect(page.locator("#selected")).to_have_text("2 selected:")
    page.get_by_role("button", name="Tag…").click()
    page.get_by_role("textbox", name="Tags").fill("new, -old")
    page.get_by_role("textbox", name="Tags").press("Enter")
    toast(page, "2 tasks tagged.")
    assert [task["tags"] for task in stored()] == [["new"], ["Old"], ["new"], ["Old"]]
    page.get_by_role("button", name="Due…").click()
    page.locator("#answer").fill("2030-01-31")
    page.get_by_role("button", name="Set date").click()
    toast(page, "2 tasks due 2030-01-31.")
    page.locator("#bulk").get_by_role("button", name="Mark done").click()
    toast(page, "2 tasks done.")
    assert [task["status"] for task in stored()] == ["done", "open"] * 2
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Delete 2 tasks").click()
    toast(page, "2 tasks deleted.")
    assert len(stored()) == 2
    page.get_by_role("button", name="Undo").click()
    toast(page, "Undone: 2 tasks. They have new numbers.")
    assert sorted(task["title"] for task in stored()) == [f"task {number}" for number in range(4)]


def test_a_change_of_all_that_match_names_their_number_twice(
    page: Page, make: Create, stored: Stored
) -> None:
    for number in range(5):
        make(title=f"task {number}", tags=["x"] if number else [])
    page.goto("/?tag=x&limit=2&sort=created_at")
    for box in page.locator(".row > input").all():
        box.check()
    page.get_by_role("button", name="Select all 4 tasks that match").click()
    expect(page.locator("#selected")).to_have_text("All 4 tasks that match:")
    page.locator("#bulk").get_by_role("button", name="Mark done").click()
    expect(page.get_by_role("dialog")).to_contain_text("4 tasks?")
    make(title="meanwhile", tags=["x"])
    page.get_by_role("button", name="Mark done: 4 tasks").click()
    toast(page, "Number of selected tasks is 5, not 4")
    assert {task["status"] for task in stored()} == {"open"}
    page.reload()
    for box in page.locator(".row > input").all():
        box.check()
    page.get_by_role("button", name="Select all 5 tasks that match").click()
    page.locator("#bulk").get_by_role("button", name="Mark done").click()
    page.get_by_role("button", name="Mark done: 5 tasks").click()
    toast(page, "5 tasks done.")
    assert [task["status"] for task in stored()] == ["open"] + ["done"] * 5
    page.get_by_role("button", name="Undo").click()
    toast(page, "Undone: 5 tasks.")
    assert {task["status"] for task in stored()} == {"open"}


def test_keys_move_select_tick_and_help_but_not_while_typing(
    page: Page, make: Create, stored: Stored
) -> None:
    ids = [make(title=f"task {number}")["id"] for number in range(3)]
    page.goto("/?sort=created_at")
    page.keyboard.press("n")
    assert focused(page) == "line"
    page.keyboard.type("jkxedu?")
    assert page.locator("#line").input_value() == "jkxedu?"
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    assert focused(page) == "search"
    page.keyboard.press("Escape")
    for key, number in (("j", 0), ("j", 1), ("j", 2), ("j", 2), ("k", 1)):
        page.keyboard.press(key)
        assert focused(page) == f"a{ids[number]}"
    page.keyboard.press("Control+x")
    page.keyboard.press("x")
    expect(page.locator("#selected")).to_have_text("1 selected:")
    page.keyboard.press("d")
    toast(page, "1 task done.")
    assert [task["status"] for task in stored()] == ["open", "done", "open"]
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Keys")
    page.get_by_label("Use these keys").uncheck()
    page.keyboard.press("Escape")
    page.locator(f"#a{ids[0]}").focus()
    page.keyboard.press("j")
    assert focused(page) == f"a{ids[0]}"
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("task 0")


def test_the_keys_o_and_r_are_about_the_repository(
    page: Page, make: Create, stored: Stored
) -> None:
    task = make(issue=12)
    page.goto("/")
    page.context.route("https://github.com/**", lambda route: route.fulfill(body="issue"))
    page.keyboard.press("j")
    with page.context.expect_page() as opened:
        page.keyboard.press("o")
    assert opened.value.url == "https://github.com/pallets/flask/issues/12"
    page.keyboard.press("r")
    toast(page, "Refreshed 1 of 1 from GitHub.")
    assert stored()[0]["metadata_fetched_at"] > task["metadata_fetched_at"]


def test_the_theme_stays_chosen(page: Page) -> None:
    page.goto("/")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.get_by_role("button", name="Light or dark").click()
    dark = page.evaluate(background)
    page.reload()
    assert page.evaluate(background) == dark != light


def test_nothing_scrolls_sideways_on_a_telephone(
    browser: Browser, service: Service, page: Page, make: Create
) -> None:
    task = make(title="W" * 200, tags=["x" * 50, "y" * 50], description="z" * 500)
    with window(browser, service, viewport={"width": 360, "height": 640}) as phone:
        for path in ("/", f"/web/tasks/{task['id']}", "/?nope=1", *VIEWS):
            phone.goto(path)
            assert phone.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_reading_and_adding_work_without_javascript(
    browser: Browser, service: Service, page: Page, stored: Stored
) -> None:
    with window(browser, service, java_script_enabled=False) as plain:
        plain.goto("/")
        plain.locator("#line").fill("pallets/flask Without a script +x")
        plain.get_by_role("button", name="Add").click()
        expect(plain.locator(".title")).to_have_text("Without a script")
        plain.get_by_role("button", name="Mark done:").click()
        expect(plain.get_by_role("button", name="Reopen:")).to_be_visible()
        plain.locator("#search").fill("tag:x status:done")
        plain.locator("#search").press("Enter")
        assert plain.url.endswith("/?tag=x&status=done&q=") or plain.url.endswith(
            "/?tag=x&status=done"
        )
        plain.locator(".title").click()
        plain.get_by_label("Title").fill("Edited")
        plain.get_by_role("button", name="Save").click()
        expect(plain.locator("h1")).to_have_text("Edited")
    assert stored()[0]["title"] == "Edited"
