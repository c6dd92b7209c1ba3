"""The page in a browser: a late response neither moves the focus nor loses what is typed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import APIResponse, Page, Route, expect

from browser import focused, held, toast
from helpers import Service

pytestmark = pytest.mark.slow
Create = Callable[..., dict[str, Any]]
Stored = Callable[[], list[dict[str, Any]]]


def test_a_slow_save_leaves_the_focus_in_another_field(
    page: Page, make: Create, stored: Stored
) -> None:
    task = make(title="one")
    page.goto("/")
    page.locator(f"#a{task['id']}").focus()
    page.keyboard.press("e")
    title = page.locator(".editor [name=title]")
    title.fill("two")
    with held(page, f"**/tasks/{task['id']}"):
        title.press("Enter")
        page.locator("#line").click()
        page.keyboard.type("pallets/flask ")
    toast(page, "Saved #")
    page.keyboard.type("dx")
    assert page.locator("#line").input_value() == "pallets/flask dx"
    assert [(task["title"], task["status"]) for task in stored()] == [("two", "open")]


def test_an_editor_that_opens_late_leaves_the_focus_in_another_field(
    page: Page, make: Create
) -> None:
    task = make(title="one")
    page.goto("/")
    page.locator(f"#a{task['id']}").focus()
    with held(page, "**/web/tasks/*"):
        page.keyboard.press("e")
        page.keyboard.press("n")
        page.keyboard.type("pallets")
    title = page.locator(".editor [name=title]")
    expect(title).to_be_visible()
    page.keyboard.type("/flask")
    assert page.locator("#line").input_value() == "pallets/flask"
    assert title.input_value() == "one"


def test_what_is_typed_while_an_editor_opens_is_no_key(
    page: Page, make: Create, stored: Stored
) -> None:
    task = make(title="one")
    page.goto("/")
    page.locator(f"#a{task['id']}").focus()
    with held(page, "**/web/tasks/*") as routes:
        page.keyboard.press("e")
        page.keyboard.type("edux")
    title = page.locator(".editor [name=title]")
    expect(title).to_be_focused()
    assert len(routes) == 1
    assert page.locator("#selected").is_hidden()
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    toast(page, "1 task done.")
    assert [task["status"] for task in stored()] == ["done"]


def test_an_editor_opens_in_a_list_that_is_new_meanwhile(page: Page, make: Create) -> None:
    task = make(title="one")
    page.goto("/")
    page.locator(f"#a{task['id']}").focus()
    with held(page, "**/web/tasks/*"):
        page.keyboard.press("d")
        page.keyboard.press("e")
        expect(page.locator(".row.done")).to_be_visible()
    expect(page.locator(".row .editor [name=title]")).to_be_focused()


def test_a_slow_addition_leaves_the_focus_in_another_field(page: Page, make: Create) -> None:
    make(title="one")
    page.goto("/")
    page.locator("#line").fill("pallets/flask New")
    with held(page, "**/tasks"):
        page.locator("#line").press("Enter")
        page.locator("#search").click()
    toast(page, "Added #")
    assert focused(page) == "search"
    page.locator("#line").fill("octocat/missing New")
    with held(page, "**/tasks"):
        page.locator("#line").press("Enter")
        page.locator("#search").click()
    expect(page.locator("#preview .failure")).to_be_visible()
    assert focused(page) == "search"


def test_help_that_comes_late_hides_nothing(page: Page, make: Create) -> None:
    make(title="one")
    page.goto("/")
    page.get_by_role("checkbox", name="one").check()
    dialog = page.get_by_role("dialog")
    with held(page, "**/web/help"):
        page.keyboard.press("?")
        page.keyboard.press("n")
    assert focused(page) == "line"
    expect(dialog).to_be_hidden()
    page.keyboard.press("Escape")
    with held(page, "**/web/help"):
        page.keyboard.press("?")
        page.get_by_role("button", name="Tag…").click()
    expect(dialog).to_contain_text("With commas between them")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(dialog).to_contain_text("Keys")
    assert focused(page) == "dialog-title"


def test_a_renewal_keeps_the_focus_in_the_links_above(page: Page, make: Create) -> None:
    task = make(title="one")
    page.goto(f"/web/tasks/{task['id']}")
    link = page.get_by_role("link", name="Repositories").first
    link.focus()
    page.keyboard.press("d")
    expect(page.get_by_role("button", name="Reopen")).to_be_visible()
    expect(link).to_be_focused()


def test_a_dialog_that_closes_after_a_renewal_keeps_the_focus(page: Page, make: Create) -> None:
    make(title="one"), make(title="two")
    page.goto("/?sort=created_at")
    page.get_by_role("checkbox", name="one").check()
    with held(page, "**/?sort=created_at"):
        page.get_by_role("button", name="Mark done: two").click()
        toast(page, "1 task done.")
        page.get_by_role("button", name="Tag…").click()
    expect(page.locator(".row.done")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator(".row.done .title")).to_be_focused()


def test_an_import_that_can_not_be_read_keeps_the_focus(page: Page) -> None:
    page.goto("/web/import")
    page.get_by_label("Or text").fill("nonsense")
    button = page.get_by_role("button", name="Check")
    with held(page, "**/tasks/import*"):
        button.press("Enter")
        page.wait_for_function("document.activeElement === document.body")
    expect(page.locator("#outcome")).to_contain_text("Line 1:")
    expect(button).to_be_focused()


def test_the_arrow_keys_go_through_the_sorts(page: Page, make: Create) -> None:
    make(title="one")
    for path in ("/", "/web/repositories"):
        page.goto(path)
        first = page.locator("#sort").input_value()
        page.locator("#sort").select_option(index=1)
        page.wait_for_url("**sort=*")
        expect(page.locator("#sort")).to_be_focused()
        assert page.locator("#sort").input_value() != first
        assert "#" not in page.url


def test_a_second_enter_is_not_for_the_next_place(page: Page, make: Create, stored: Stored) -> None:
    task = make(title="one", due_date="2030-01-31")
    page.goto("/")
    page.locator(f"#a{task['id']}").focus()
    page.keyboard.press("e")
    title = page.locator(".editor [name=title]")
    title.fill("two")
    title.press("Enter")
    expect(page.locator(f"#a{task['id']}")).to_be_focused()
    page.keyboard.press("Enter")
    toast(page, "Saved #")
    page.get_by_role("checkbox", name="two").check()
    page.get_by_role("button", name="Due…").focus()
    page.keyboard.press("Shift")
    page.keyboard.down("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.down("Enter")
    page.keyboard.up("Enter")
    page.locator("#answer").press("Enter")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")
    page.locator(f"#a{task['id']}").press("Enter")
    page.wait_for_url(f"**/web/tasks/{task['id']}")
    assert stored()[0]["due_date"] == "2030-01-31"


def test_a_reload_does_not_offer_a_line_again(page: Page, make: Create) -> None:
    make(title="one")
    page.goto("/web/repositories")
    page.keyboard.press("n")
    expect(page.locator("#line")).to_be_focused()
    page.reload()
    assert focused(page) == "BODY"
    page.goto("/?status=open&add=pallets/flask")
    page.locator("#line").press("Enter")
    toast(page, "Added #")
    page.reload()
    assert page.locator("#line").input_value() == ""
    assert focused(page) == "BODY"


def test_the_later_of_two_renewals_is_shown(page: Page, make: Create) -> None:
    first, second = make(title="one"), make(title="two")
    page.goto("/?sort=created_at")
    late: list[tuple[Route, APIResponse]] = []
    page.route("**/?sort=*", lambda route: late.append((route, route.fetch())), times=1)
    page.locator(f"#d{first['id']}").click()
    toast(page, "1 task done.")
    expect(page.locator(f"#t{first['id']}")).not_to_have_class("row done")
    page.locator(f"#d{second['id']}").click()
    expect(page.locator(".row.done")).to_have_count(2)
    [(route, response)] = late
    with page.expect_response("**/?sort=*"):
        route.fulfill(response=response)
    page.wait_for_timeout(100)
    assert page.locator(".row.done").count() == 2


def test_a_late_preview_is_not_of_the_next_line(page: Page, make: Create) -> None:
    make(title="one")
    page.goto("/")
    preview = "**/web/preview?*ask=*"
    with held(page, preview):
        with page.expect_request(preview):
            page.locator("#line").fill("pallets/flask New")
        page.locator("#line").press("Enter")
        toast(page, "Added #")
    assert page.locator("#preview").inner_text().strip() == ""


def test_a_change_can_be_undone_though_the_list_can_not_be_read(
    page: Page, make: Create, stored: Stored
) -> None:
    task = make(title="one")
    page.goto("/")
    page.route(page.url, lambda route: route.abort())
    page.get_by_role("button", name="Mark done: one").click()
    toast(page, "1 task done. The page can't be read anew, so it may be old.")
    page.get_by_role("button", name="Undo").click()
    toast(page, "Undone: 1 task.")
    assert stored()[0]["status"] == "open"
    page.goto(f"/web/tasks/{task['id']}")
    page.route(page.url, lambda route: route.abort())
    for title in ("two", "three"):
        page.get_by_label("Title").fill(title)
        page.get_by_role("button", name="Save").click()
        toast(page, f"Saved #{task['id']}. The page can't be read anew")
        page.get_by_role("button", name="Close").click()
    assert stored()[0]["title"] == "three"


def test_a_refresh_runs_once_and_can_be_stopped(page: Page, make: Create) -> None:
    for name in ("pallets/flask", "moby/moby"):
        make(repository=name)
    page.goto("/")
    for box in page.locator(".row > input").all():
        box.check()
    with held(page, "**/refresh") as refreshes:
        button = page.locator("#bulk").get_by_role("button", name="Refresh")
        button.click()
        toast(page, "Refreshing 1 of 2")
        button.press("Enter")
        toast(page, "A refresh is running.")
        page.locator(".tick").first.click()
        toast(page, "1 task done.")
        page.get_by_role("button", name="Close").click()
        page.get_by_role("button", name="Stop").click()
    toast(page, "Refreshed 1 of 2 from GitHub.")
    assert len(refreshes) == 1


def test_an_import_stores_what_was_checked(page: Page, stored: Stored, tmp_path: Path) -> None:
    page.goto("/web/import")
    text, outcome = page.get_by_label("Or text"), page.locator("#outcome")
    text.fill("pallets/flask One")
    with held(page, "**/tasks/import*"):
        page.get_by_role("button", name="Check").click()
        text.press_sequentially("\nmoby/moby Two")
    expect(page.get_by_role("button", name="Check")).to_be_enabled()
    expect(outcome).to_be_empty()
    expect(text).to_be_focused()
    page.get_by_role("button", name="Check").press("Enter")  # a click could be a double click
    with held(page, "**/tasks/import*"):
        page.get_by_role("button", name="Import 2 tasks").click()
        text.press_sequentially("\npsf/requests Three")
    expect(outcome).to_contain_text("2 tasks imported.")
    expect(text).to_have_value("pallets/flask One\nmoby/moby Two\npsf/requests Three")
    assert len(stored()) == 2
    file = tmp_path / "list.txt"
    file.write_text("pallets/flask Four")
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Check").click()
    expect(outcome).to_contain_text("There are a file and a text.")
    assert len(stored()) == 2


def test_ctrl_and_enter_confirm_a_dialog(page: Page, make: Create, stored: Stored) -> None:
    make(title="one")
    page.goto("/")
    page.get_by_role("checkbox", name="one").check()
    page.get_by_role("checkbox", name="one").press("Control+Enter")
    page.get_by_role("button", name="Tag…").click()
    page.locator("#answer").press_sequentially("new")
    page.locator("#answer").press("Control+Enter")
    toast(page, "1 task tagged.")
    assert [(task["tags"], task["status"]) for task in stored()] == [(["new"], "open")]


def test_a_title_of_emoji_can_be_edited(page: Page, make: Create, stored: Stored) -> None:
    task = make(title="🎉" * 200, description="🎉" * 6000)
    page.goto(f"/web/tasks/{task['id']}")
    for name in ("Title", "Description"):
        page.get_by_label(name, exact=True).press("End")
        page.get_by_label(name, exact=True).press("Backspace")
    page.get_by_role("button", name="Save").click()
    toast(page, "Saved #")
    assert [len(stored()[0][name]) for name in ("title", "description")] == [199, 5999]
    expect(page).to_have_title("🎉" * 199 + " · Tracker")


def test_escape_leaves_the_words_of_the_list(page: Page, make: Create) -> None:
    make(title="one")
    page.goto("/?q=one")
    page.locator("#search").press("Escape")
    assert page.locator("#search").input_value() == "one"
    assert focused(page) == "BODY"


def test_keys_on_a_change_do_nothing(page: Page) -> None:
    page.goto("/web/changes")
    page.locator(".empty").evaluate(
        """(empty) => {
          const row = Object.assign(document.createElement("div"), { className: "row change" });
          const link = Object.assign(document.createElement("a"), { href: "/" });
          row.append(link), empty.append(row), link.focus();
        }"""
    )
    for key in "xdero":
        page.keyboard.press(key)
    assert page.url.endswith("/web/changes")


def test_a_renewal_leaves_the_question_about_a_deletion_open(page: Page, make: Create) -> None:
    task = make(title="one")
    page.goto(f"/web/tasks/{task['id']}")
    page.get_by_text("Delete…").click()
    page.get_by_role("button", name="Mark done").click()
    expect(page.get_by_role("button", name="Reopen")).to_be_visible()
    expect(page.get_by_role("button", name="Delete this task")).to_be_visible()


def test_the_row_of_a_deleted_task_goes_with_its_editor(
    page: Page, service: Service, make: Create
) -> None:
    task, other = make(title="one"), make(title="two")
    page.goto("/?sort=created_at")
    page.locator(f"#a{task['id']}").focus()
    page.keyboard.press("e")
    page.locator(".editor [name=title]").fill("typed")
    service.call("DELETE", f"/tasks/{task['id']}")
    page.locator(f"#d{other['id']}").click()
    toast(page, "done")
    expect(page.locator(f"#content > #t{task['id']}")).to_be_visible()  # the list is read anew
    page.locator(".editor [name=title]").press("Escape")
    page.locator(".editor [name=title]").press("Escape")
    expect(page.locator(f"#t{task['id']}")).to_have_count(0)
    assert focused(page) == f"a{other['id']}"


def test_a_lost_login_is_told_apart_from_a_proxy_that_fails(page: Page, make: Create) -> None:
    make(title="one")
    page.goto("/")
    login = '<main class="login"></main>'
    page.route("**/web/help", lambda route: route.fulfill(body=login, content_type="text/html"))
    page.keyboard.press("?")
    toast(page, "log in again")
    expect(page.locator("#toast").get_by_role("link", name="Log in")).to_be_visible()
    page.route("**/web/help", lambda route: route.fulfill(status=502, body="<h1>Bad gateway</h1>"))
    page.keyboard.press("?")
    toast(page, "The page can't be loaded (502); try again.")
    expect(page.locator("#toast").get_by_role("link")).to_have_count(0)
    page.route("**/tasks/*", lambda route: route.fulfill(status=401, json={"message": "No."}))
    page.get_by_role("button", name="Mark done: one").click()
    toast(page, "1 task failed: No.")
    expect(page.locator("#toast").get_by_role("link", name="Log in")).to_be_visible()


def test_text_grows_with_the_browsers_font_size(page: Page) -> None:
    page.goto("/")
    page.evaluate("document.documentElement.style.fontSize = '32px'")
    assert page.evaluate("getComputedStyle(document.body).fontSize") == "32px"


def test_no_row_is_reached_behind_the_bar(page: Page, service: Service) -> None:
    lines = "".join(f"pallets/flask Task {number}\n" for number in range(25))
    service.call("POST", "/tasks/import", data=lines, headers={"Content-Type": "text/plain"})
    page.goto("/")
    page.get_by_role("checkbox").first.check()
    below = "document.activeElement.closest('.row').getBoundingClientRect().bottom"
    bar = "document.querySelector('#bulk').getBoundingClientRect().top"
    for _ in range(20):
        page.keyboard.press("j")
        assert page.evaluate(below) <= page.evaluate(bar) + 1
