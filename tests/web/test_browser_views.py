"""The page in a browser: repositories, imports, logins, prefixes, and a database that is away."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2.extensions
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from browser import away, focused, toast, window
from helpers import Service, served, wait_for
from tracker.demo.github import GitHub

pytestmark = pytest.mark.slow
Create = Callable[..., dict[str, Any]]
Stored = Callable[[], list[dict[str, Any]]]


def test_a_refresh_of_old_metadata_waits_at_the_limit(
    page: Page, service: Service, live_github: GitHub
) -> None:
    lines = "pallets/flask One\nmoby/moby Two\nfaults/503 Three\n"
    service.call("POST", "/tasks/import", data=lines, headers={"Content-Type": "text/plain"})
    page.goto("/web/repositories")
    page.get_by_role("button", name="Refresh all that are old…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Refresh 3 repositories?")
    expect(dialog).to_contain_text("GitHub allows ")
    before = (live_github.remaining, live_github.reset)
    live_github.limit(2)
    dialog.get_by_role("button", name="Refresh 3 repositories").click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    toast(page, "It goes on at ")
    live_github.remaining, live_github.reset = before
    toast(
        page,
        "Refreshed 2 of 3 from GitHub. faults/503: GitHub failed with status 503; try again later.",
    )
    expect(page.locator("tbody tr", has_text="moby/moby")).to_contain_text("Go")
    assert focused(page) != "BODY"


def test_an_import_first_says_what_it_would_create(page: Page, stored: Stored) -> None:
    page.goto("/")
    page.get_by_role("link", name="import your stars").click()
    text = page.get_by_label("Or text")
    text.fill(
        '[{"id": 1, "full_name": "pallets/flask", "stargazers_count": 1, "owner": {}}, {"id": 2}]'
    )
    page.get_by_role("button", name="Check").click()
    outcome = page.locator("#outcome")
    expect(outcome).to_contain_text("1 task can be imported. Without 1 line that can't be read:")
    assert stored() == []
    outcome.get_by_role("button", name="Import 1 task").click()
    expect(outcome).to_contain_text("1 task imported.")
    assert [task["repository"] for task in stored()] == ["pallets/flask"]
    text.fill("nonsense")
    page.get_by_role("button", name="Check").click()
    expect(outcome).to_contain_text("Line 1:")
    expect(outcome.get_by_role("button")).to_have_count(0)


def test_repositories_are_filtered_and_sorted(page: Page, make: Create) -> None:
    (
        make(repository="pallets/flask"),
        make(repository="moby/moby"),
        make(repository="angular/angular.js"),
    )
    page.goto("/web/repositories")
    page.locator("#sort").select_option("-stars")
    names = page.locator("tbody .title")
    expect(names).to_have_text(["moby/moby", "pallets/flask", "angular/angular.js"])
    page.get_by_label("Language").fill("python")
    page.get_by_label("Language").press("Enter")
    expect(names).to_have_text(["pallets/flask"])
    page.get_by_label("Language").fill("")
    page.get_by_role("button", name="Find").click()
    expect(names).to_have_count(3)
    page.get_by_role("link", name="Archived", exact=True).click()
    expect(names).to_have_text(["angular/angular.js"])


def test_typed_text_outlives_a_database_that_is_away(
    page: Page, make: Create, stored: Stored, database_url: str, server: dict[str, Any]
) -> None:
    task = make(title="one")
    page.goto("/")
    page.keyboard.press("j")
    page.keyboard.press("e")
    editor = page.locator(".editor")
    editor.get_by_label("Title").fill("two")
    page.locator("#line").fill("pallets/flask Keep me")
    with away(server, psycopg2.extensions.parse_dsn(database_url)["dbname"]):
        page.locator("#line").press("Enter")
        expect(page.locator("#preview .failure")).to_contain_text("Database refuses connections")
        editor.get_by_role("button", name="Save").click()
        expect(editor.get_by_role("alert")).to_contain_text("Database refuses connections")
        assert editor.get_by_label("Title").input_value() == "two"
        page.get_by_role("button", name="Mark done:").click()
        toast(page, "Database refuses connections")
        with page.context.expect_page() as opened:
            page.evaluate("window.open('/', '_blank', 'noopener')")
        expect(opened.value.get_by_role("alert")).to_contain_text("Database refuses connections")
        opened.value.close()
    editor.get_by_role("button", name="Save").click()
    toast(page, f"Saved #{task['id']}.")
    page.locator("#line").press("Enter")
    toast(page, "Added #")
    assert [task["title"] for task in stored()] == ["two", "Keep me"]


def test_under_a_prefix_the_script_stays_below_it(
    page: Page, service: Service, stored: Stored
) -> None:
    def forward(route: Route) -> None:
        url = route.request.url.replace(f":{service.port}/tracker", f":{service.port}")
        headers = {**route.request.headers, "X-Forwarded-Prefix": "/tracker"}
        route.fulfill(response=route.fetch(url=url, headers=headers, max_redirects=0))

    page.route("**/tracker/**", forward)
    page.goto("/tracker/")
    page.locator("#line").fill("pallets/flask Below")
    page.locator("#line").press("Enter")
    toast(page, "Added #")
    page.get_by_role("button", name="Mark done: Below").click()
    toast(page, "1 task done.")
    page.keyboard.press("u")
    toast(page, "Undone")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Keys")
    page.keyboard.press("Escape")
    page.locator(".title").click()
    page.get_by_label("Title").fill("Edited")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("h1")).to_have_text("Edited")
    page.get_by_role("link", name="Repositories").first.click()
    expect(page.locator("tbody .title")).to_have_text("pallets/flask")
    assert urlsplit(page.url).path == "/tracker/web/repositories"
    page.unroute_all(behavior="wait")
    assert stored()[0]["title"] == "Edited"


def test_a_lost_login_keeps_the_typed_line(
    browser: Browser, database_url: str, live_github: GitHub, tmp_path: Path, page: Page
) -> None:
    environment = {
        "DATABASE_URL": database_url,
        "GITHUB_API_BASE": live_github.url,
        "GITHUB_CACHE": "memory",
        "API_TOKEN": "old,new",
    }
    with (
        served(environment, tmp_path / "output") as guarded,
        window(browser, guarded) as opened,
    ):
        opened.goto("/")
        opened.get_by_label("Token").fill("old")
        opened.get_by_role("button", name="Log in").click()
        opened.locator("#line").fill("pallets/flask Typed before")
        opened.context.clear_cookies()
        opened.locator("#line").press("Enter")
        toast(opened, "API_TOKEN is required")
        opened.get_by_role("link", name="Log in").click()
        opened.get_by_label("Token").fill("new")
        opened.get_by_role("button", name="Log in").click()
        expect(opened.locator("#line")).to_have_value("pallets/flask Typed before")
        opened.get_by_role("button", name="Add").click()
        toast(opened, "Added #")
        opened.get_by_role("button", name="Log out").click()
        expect(opened.get_by_label("Token")).to_be_visible()
        # All workers count wrong tokens together.
        form = {"data": {"token": "wrong"}, "headers": {"Sec-Fetch-Site": "same-origin"}}
        statuses = [guarded.call("POST", "/web/login", **form).status_code for _ in range(11)]
        assert statuses == [401] * 10 + [429]


def test_the_focus_is_never_lost(page: Page, make: Create) -> None:
    for number in range(3):
        make(title=f"task {number}")
    page.goto("/?status=open&sort=created_at")

    def stays(act: Callable[[], None], text: str) -> None:
        act()
        toast(page, text)
        wait_for(lambda: focused(page) != "BODY")

    button = page.locator("#toast").get_by_role
    stays(page.get_by_role("button", name="Mark done: task 0").click, "1 task done.")
    stays(button("button", name="Undo").click, "Undone")
    button("button", name="Close").click()
    assert focused(page) != "BODY"
    page.keyboard.press("j")
    stays(lambda: page.keyboard.press("r"), "Refreshed 1 of 1")
    page.keyboard.press("x")
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("button", name="Cancel").click()
    assert focused(page) != "BODY"
    page.get_by_role("button", name="Delete", exact=True).click()
    stays(page.get_by_role("button", name="Delete 1 task").click, "1 task deleted.")
    page.keyboard.press("e")
    page.keyboard.press("Escape")
    assert focused(page) != "BODY"


def test_changes_of_different_fields_are_no_conflict(
    page: Page, service: Service, make: Create, stored: Stored
) -> None:
    task = make(title="one")
    page.goto(f"/web/tasks/{task['id']}")
    service.call("PATCH", f"/tasks/{task['id']}", json={"priority": "high"})
    page.get_by_label("Title").fill("mine")
    page.get_by_role("button", name="Save").click()
    toast(page, f"Saved #{task['id']}. Changed meanwhile: priority.")
    expect(page.locator("h1")).to_have_text("mine")
    expect(page.get_by_label("Priority")).to_have_value("high")
    page.keyboard.press("u")
    toast(page, "is as before")
    assert [(task["title"], task["priority"]) for task in stored()] == [("one", "high")]


def test_unsaved_text_outlives_a_tick_and_a_refresh(
    page: Page, make: Create, stored: Stored
) -> None:
    task = make(title="one")
    page.goto(f"/web/tasks/{task['id']}")
    page.get_by_label("Title").fill("typed")
    page.get_by_role("button", name="Mark done").click()
    toast(page, "1 task done.")
    expect(page.get_by_role("button", name="Reopen")).to_be_focused()
    page.get_by_role("button", name="Refresh from GitHub").click()
    toast(page, "Refreshed 1 of 1")
    page.get_by_label("Title").press("Enter")
    toast(page, "Saved")
    assert [(task["title"], task["status"]) for task in stored()] == [("typed", "done")]


def test_enter_in_a_box_changes_no_task(page: Page, make: Create, stored: Stored) -> None:
    make(title="one")
    make(title="two")
    page.goto("/")
    page.get_by_role("checkbox", name="one").press("Enter")
    page.get_by_role("checkbox", name="one").check()
    expect(page.locator("#selected")).to_have_text("1 selected:")
    assert [task["status"] for task in stored()] == ["open", "open"]


def test_an_editor_outlives_its_row(page: Page, service: Service, make: Create) -> None:
    task, other = make(title="one", tags=["kept"]), make(title="two", tags=["kept"])
    page.goto("/?tag=kept&sort=created_at")
    page.locator(f"#a{task['id']}").focus()
    page.keyboard.press("e")
    page.locator(".editor [name=title]").fill("typed")
    service.call("PATCH", f"/tasks/{task['id']}", json={"tags": []})
    page.locator(f"#d{other['id']}").click()
    toast(page, "done")
    expect(page.locator(f"#a{other['id']}")).to_be_visible()
    assert page.locator(".editor [name=title]").input_value() == "typed"


def test_the_key_u_works_after_the_last_task_of_a_list_is_deleted(
    page: Page, make: Create, stored: Stored
) -> None:
    make(title="one")
    page.goto("/?status=open")
    page.get_by_role("checkbox", name="one").check()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete 1 task").click()
    expect(page.locator(".empty")).to_be_visible()
    page.keyboard.press("u")
    toast(page, "Undone: 1 task.")
    assert [task["title"] for task in stored()] == ["one"]


def test_deleted_tasks_come_back_even_if_their_repository_is_gone(
    page: Page, service: Service, make: Create, stored: Stored
) -> None:
    make(title="one")
    service.call("POST", "/tasks/import?format=lines", data="octocat/gone two\n")  # GitHub has none
    page.goto("/")
    page.get_by_role("checkbox", name="one").check()
    page.get_by_role("checkbox", name="two").check()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete 2 tasks").click()
    toast(page, "2 tasks deleted.")
    assert stored() == []
    page.get_by_role("button", name="Undo").click()
    toast(page, "Undone: 2 tasks.")
    assert sorted((task["title"], task["metadata_status"]) for task in stored()) == [
        ("one", "current"),
        ("two", "pending"),
    ]


def test_an_undo_tried_again_imports_no_task_twice(
    page: Page, service: Service, make: Create, stored: Stored
) -> None:
    make(title="one")
    service.call("POST", "/tasks/import?format=lines", data="octocat/gone two\n")
    page.goto("/")
    page.get_by_role("checkbox", name="one").check()
    page.get_by_role("checkbox", name="two").check()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete 2 tasks").click()
    toast(page, "2 tasks deleted.")

    def fail_one(route: Route) -> None:
        if '"title":"one"' in (route.request.post_data or ""):
            route.abort()
        else:
            route.continue_()

    page.route(re.compile("metadata=optional"), fail_one)
    page.keyboard.press("u")
    toast(page, "1 task not undone:")
    page.unroute_all()
    page.keyboard.press("u")
    toast(page, "Undone: 1 task.")
    assert sorted(task["title"] for task in stored()) == ["one", "two"]


def test_a_task_that_was_deleted_on_its_page_comes_back(
    page: Page, make: Create, stored: Stored
) -> None:
    task = make(title="one", tags=["kept"])
    page.goto(f"/web/tasks/{task['id']}")
    page.get_by_text("Delete…").click()
    page.get_by_role("button", name="Delete this task").click()
    toast(page, "1 task deleted.")
    assert stored() == []
    page.keyboard.press("u")
    toast(page, "Undone: 1 task.")
    assert [(task["title"], task["tags"]) for task in stored()] == [("one", ["kept"])]
    page.reload()
    expect(page.locator("#toast")).to_be_empty()


def test_an_undo_that_failed_can_be_tried_again(page: Page, make: Create, stored: Stored) -> None:
    for title in ("one", "two"):
        make(title=title)
    page.goto("/")
    page.get_by_role("checkbox", name="one").check()
    page.get_by_role("checkbox", name="two").check()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete 2 tasks").click()
    toast(page, "2 tasks deleted.")
    page.context.set_offline(True)
    page.get_by_role("button", name="Undo").click()
    toast(page, "2 tasks not undone:")
    page.context.set_offline(False)
    page.keyboard.press("u")
    toast(page, "Undone: 2 tasks.")
    assert sorted(task["title"] for task in stored()) == ["one", "two"]
