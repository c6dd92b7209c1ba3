"""The daily verbs in pipes: what they change, print and return."""

import json
import subprocess
from datetime import date, timedelta

import click
import pytest
from marshmallow.fields import List

from command_line import Tracker
from helpers import ROOT
from tracker.api.change_schemas import FeedQuerySchema
from tracker.cli.filters import KINDS
from tracker.cli.verbs import MODULES, verbs
from tracker.database.changes import ChangeKind
from tracker.tasks import repository_filters, sorting
from tracker.tasks.filters import FILTERS, Filter
from tracker.tasks.repository_filters import REPOSITORY_FILTERS


def repeating(filters: dict[str, Filter]) -> dict[str, bool]:
    return {name: declared.repeats > 0 for name, declared in filters.items()}


CHANGES = {
    name: isinstance(field, List)
    for name, field in FeedQuerySchema().fields.items()
    if name != "limit"
}


@pytest.mark.parametrize(
    ("name", "filters"),
    [
        *((name, repeating(FILTERS)) for name in ("list", "done", "refresh", "export")),
        ("repos", repeating(REPOSITORY_FILTERS)),
        ("changes", CHANGES),
    ],
)
def test_each_filter_of_the_api_is_an_option(name: str, filters: dict[str, bool]) -> None:
    command = verbs.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    options = {
        option.name: option.multiple
        for option in command.params
        if isinstance(option, click.Option) and not option.expose_value
    }
    assert options == filters


def test_each_kind_of_change_can_be_chosen() -> None:
    assert list(KINDS) == [kind.value for kind in ChangeKind]


@pytest.mark.parametrize(
    ("name", "sorts"), [("list", sorting.SORTS), ("repos", repository_filters.SORTS)]
)
def test_each_order_of_the_api_can_be_chosen(tracker: Tracker, name: str, sorts: list[str]) -> None:
    command = verbs.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    (kind,) = (option.type for option in command.params if option.name == "sort")
    assert isinstance(kind, click.Choice)
    assert set(kind.choices) == set(sorts)
    assert tracker(name, "--sort", "zz").returncode == 2
    assert tracker(name, "--sort", "-stars").returncode == 0


def test_repositories_are_filtered_by_their_last_refresh(tracker: Tracker) -> None:
    tracker.add("pallets/flask", "One")
    assert tracker("repos", "-q", "--fetched-before", "1h").stdout == ""
    assert tracker("repos", "-q", "--fetched-before", "tomorrow").stdout == "pallets/flask\n"


@pytest.mark.parametrize("name", MODULES)
def test_each_help_has_three_examples(tracker: Tracker, name: str) -> None:
    done = tracker(name, "--help")
    assert done.returncode == 0
    assert len(done.stdout.split("Examples:\n")[1].splitlines()) == 3
    command = verbs.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    assert command.get_short_help_str()


def test_a_task_is_added_with_its_tokens(tracker: Tracker) -> None:
    words = ["Try", "3.2", "on", "staging", "+upgrade", "due:+3d", "!high", "--issue", "7"]
    number = tracker.add("https://github.com/pallets/flask", *words)
    task = tracker.task(number)
    due = (date.today() + timedelta(days=3)).isoformat()
    names = ("title", "repository", "issue", "tags", "due_date", "priority")
    assert [task[name] for name in names] == [
        "Try 3.2 on staging", "pallets/flask", 7, ["upgrade"], due, "high"
    ]  # fmt: skip


def test_words_after_two_hyphens_are_text(tracker: Tracker) -> None:
    number = tracker.add("pallets/flask", "--", "--json", "+1", "--", "due:x")
    assert tracker.task(number)["title"] == "--json +1 -- due:x"


def test_two_hyphens_may_precede_the_repository(tracker: Tracker) -> None:
    number = tracker.add("--", "pallets/flask", "--json", "+1")
    assert tracker.task(number)["title"] == "--json +1"
    alone = tracker("add", "--")
    assert alone.returncode == 2
    assert alone.stderr.endswith("Error: Missing argument 'REPOSITORY'.\n")


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_a_line_in_another_encoding_is_told_by_its_number(tracker: Tracker, locale: str) -> None:
    lines = "pallets/flask Gr\udcf6\udcdfe\nmoby/moby Größe\n".encode(errors="surrogateescape")
    done = subprocess.run(
        tracker.command("add", "-"),
        cwd=ROOT,
        env=tracker.environment | {"LC_ALL": locale},
        input=lines,
        capture_output=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: line 1: the text is not valid UTF-8; convert it ")
    assert done.stdout.decode().endswith("\tGröße\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["1", "--priority", "high"], "to change a field, take --set-priority\n"),
        (["1", "--tag", "a"], "to change a field, take --add-tag\n"),
        (["1", "--owner", "a"], "take ids or filters, not both\n"),
        (["1", "--due", "fri"], "for days take --due-before and --due-after\n"),
        (["1", "--title", "a"], "Did you mean '--set-title'?\n"),
        (["--created-after", "soon"], "or 7d for a week ago\n"),
    ],
)
def test_a_wrong_option_names_the_right_one(tracker: Tracker, words: list[str], said: str) -> None:
    done = tracker("edit", *words)
    assert done.returncode == 2
    assert done.stderr.endswith(said)


def test_lines_of_standard_input_become_tasks(tracker: Tracker) -> None:
    lines = "pallets/flask One +a\n\nnobody/nothing Two\nfastapi/fastapi Three due:never\n"
    done = tracker("add", "-", typed=lines + "moby/moby Don't !low")
    assert [line.split("\t")[-1] for line in done.stdout.splitlines()] == ["One", "Don't"]
    assert [line.split(":")[:2] for line in done.stderr.splitlines()] == [
        ["error", " line 3"],
        ["error", " line 4"],
    ]
    assert done.returncode == 1
    done = tracker("add", "-", typed="foo/bar\npallets/flask\n")
    assert done.returncode == 2  # no task at all


def test_a_line_that_can_not_be_read_is_one_of_several(tracker: Tracker) -> None:
    done = tracker("add", "-q", "-", typed="pallets/flask One\npallets/flask\n")
    assert (done.returncode, len(done.stdout.split())) == (1, 1)
    assert done.stderr == "error: line 2: a title is missing after pallets/flask\n"


def test_a_status_changes_by_id_and_by_filter(tracker: Tracker) -> None:
    one, two = tracker.add("pallets/flask", "One", "+a"), tracker.add("moby/moby", "Two", "+a")
    assert tracker("start", f"#{one}").returncode == 0
    assert tracker.task(one)["status"] == "in_progress"
    done = tracker("done", "--tag", "A", "-q")
    assert done.stdout.split() == [str(two), str(one)]
    assert done.stderr == "2 done. Undo with: tracker undo\n"
    assert tracker("list").stdout == ""
    assert tracker("reopen", "--tag", "a", "--owner", "moby").returncode == 0
    assert tracker("list", "-q").stdout == f"{two}\n"
    assert tracker("rm", "--all", "--tag", "a").returncode == 0
    assert tracker("list", "--all", "-q").stdout == ""


def test_three_tasks_by_filter_need_yes_in_a_pipe(tracker: Tracker) -> None:
    for title in "abc":
        tracker.add("pallets/flask", title, "+many")
    done = tracker("rm", "--tag", "many")
    assert (done.returncode, done.stderr) == (2, "error: 3 tasks would be changed; add --yes\n")
    assert tracker("rm", "--tag", "many", "--yes").returncode == 0


@pytest.mark.parametrize("words", [["done"], ["rm", "--all"], ["edit"], ["rm", "1", "--tag", "a"]])
def test_a_change_without_ids_or_filters_is_wrong_usage(tracker: Tracker, words: list[str]) -> None:
    done = tracker(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "ids or filters" in done.stderr


def test_each_format_has_the_rows_of_the_list(tracker: Tracker) -> None:
    ids = [
        tracker.add("pallets/flask", "Read", "+a", "+b"),
        tracker.add("moby/moby", "=1"),
    ]
    tasks = [tracker.task(number) for number in reversed(ids)]
    assert json.loads(tracker("list", "--json").stdout) == tasks
    lines = tracker("list", "--jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == tasks
    assert [line.split("\t")[0] for line in tracker("list").stdout.splitlines()] == [
        str(task["id"]) for task in tasks
    ]
    head, formula, *_ = tracker("list", "--csv").stdout.splitlines()
    assert head == ",".join(f'"{name}"' for name in tasks[0])
    assert '"\'=1"' in formula
    assert '"a\nb"' in tracker("list", "--csv").stdout
    assert json.loads(tracker("show", str(ids[0]), "--json").stdout) == tasks[1]


def test_an_empty_list_is_no_failure(tracker: Tracker) -> None:
    for words in (["list"], ["list", "--json"], ["list", "--q", "nothing"]):
        done = tracker(*words)
        assert (done.returncode, done.stderr) == (0, "No tasks.\n")
    assert tracker("list", "--json").stdout == "[]\n"


def test_a_limit_holds_over_pages(tracker: Tracker) -> None:
    tracker("add", "-", typed="pallets/flask t\n" * 105)
    assert len(tracker("list", "-q").stdout.split()) == 30
    assert len(tracker("list", "-q", "--limit", "103").stdout.split()) == 103
    assert len(set(tracker("list", "-q", "--limit", "0").stdout.split())) == 105


def test_filters_are_sent_with_dates_made_absolute(tracker: Tracker) -> None:
    soon = tracker.add("pallets/flask", "Soon", "due:+2d")
    tracker.add("pallets/flask", "Later", "due:+9d")
    assert tracker("list", "-q", "--due-before", "+1w").stdout == f"{soon}\n"
    assert tracker("list", "-q", "--due_before", "+1w", "--status", "open").stdout == f"{soon}\n"
    assert tracker("list", "-q", "--status", "in_progress").stdout == ""
    assert len(tracker("list", "-q", "--created-after", "1h").stdout.split()) == 2
    assert tracker("list", "-q", "--created-after", "tomorrow").stdout == ""
    assert tracker("list", "--due-before", "soon").returncode == 2
    done = tracker("list", "--owner", "no owner")
    assert done.returncode == 1
    assert done.stderr.startswith("error: owner: ")


def test_the_pages_of_tasks_can_be_printed(tracker: Tracker) -> None:
    number = tracker.add("pallets/flask#12", "Read")
    assert tracker("open", str(number), "--print").stdout == (
        "https://github.com/pallets/flask/issues/12\n"
    )


def test_failures_have_their_exit_codes(tracker: Tracker) -> None:
    number = str(tracker.add("pallets/flask", "One"))
    missing = tracker("show", "999")
    assert (missing.returncode, missing.stderr) == (1, "error: Task 999 does not exist.\n")
    assert tracker("show", "x").returncode == 2
    assert tracker("add", "pallets/flask").returncode == 2
    dead = tracker("show", number, TRACKER_URL="http://127.0.0.1:1")
    assert dead.returncode == 5
    assert dead.stderr == "error: http://127.0.0.1:1 can't be reached: Connection refused\n"
    assert tracker("add", "faults/closed", "x").returncode == 1


def test_a_task_can_be_added_while_github_fails(tracker: Tracker) -> None:
    words = ["add", "faults/503", "One"]
    refused = tracker(*words)
    assert refused.returncode == 1
    assert refused.stderr.endswith(" With --metadata optional, the task is created all the same.\n")
    assert tracker(*words, "--metadata", "optional").returncode == 0
    assert "--metadata" not in tracker("add", "nobody/nothing", "One").stderr


def test_one_failed_id_does_not_keep_the_others(tracker: Tracker) -> None:
    number = tracker.add("pallets/flask", "One")
    done = tracker("done", "998", str(number))
    assert (done.returncode, done.stderr) == (1, "error: #998: Task 998 does not exist.\n")
    assert tracker.task(number)["status"] == "done"


@pytest.mark.parametrize(
    ("words", "changed", "said"),
    [
        (["list", "--tag", "\udce9"], {}, "the text is not valid UTF-8"),
        (["list"], {"TRACKER_URL": "http://a..b"}, "http://a..b is not a valid URL"),
        (
            ["list", "--created-after", "0001-01-01"],
            {"TZ": "Asia/Tokyo"},
            "0001-01-01 is out of range",
        ),
        (
            ["list", "--created-after", "9999-12-31T23:59:59Z"],
            {"TZ": "Asia/Tokyo"},
            "is out of range",
        ),
    ],
)
def test_a_value_that_cannot_be_sent_is_wrong_usage(
    tracker: Tracker, words: list[str], changed: dict[str, str], said: str
) -> None:
    done = tracker.process(*words, **changed)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert "Traceback" not in done.stderr
