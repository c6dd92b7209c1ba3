"""Tables on a terminal, cut to its width."""

from __future__ import annotations

from datetime import date
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..tasks.phrases import age, describe_change, due, local, pushed, short, visible
from .output import Output, Row

NEAR = {"today", "tomorrow"}
STYLES = {"high": "bold red", "low": "dim", "late": "bold red", "today": "magenta", "faint": "dim"}


def console(output: Output) -> Console:
    """Return a console on standard output, as wide as the terminal."""
    return Console(
        color_system="auto" if output.colored else None,
        force_terminal=output.colored or None,
        no_color=not output.colored,
        highlight=False,
        markup=False,
        emoji=False,
    )


def new_table(*columns: tuple[str, dict[str, Any]]) -> Table:
    """Return a table without lines, whose cells are cut and never wrapped."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title, options in columns:
        table.add_column(title, no_wrap=True, overflow="ellipsis", **options)
    return table


def text(value: Any, style: str = "") -> Text:
    """Return a cell; control characters in it are shown, not obeyed."""
    return Text(visible("" if value is None else str(value)), STYLES.get(style, style))


def print_tasks(tasks: list[Row], output: Output) -> None:
    """Print a table of tasks."""
    today = date.today()
    states = any(task["status"] != "open" for task in tasks)
    terminal = console(output)
    narrow = terminal.width < 100
    facts = not (states and narrow)  # the title needs the room
    table = new_table(
        ("ID", {"justify": "right"}),
        ("PRI", {}),
        ("DUE", {}),
        *([("STATUS", {})] if states else []),
        ("REPOSITORY", {"max_width": 24 if narrow else 36}),
        *([("★", {"justify": "right"}), ("PUSHED", {})] if facts else []),
        ("TITLE", {"ratio": 1, "min_width": 16}),
    )
    table.expand = True
    for task in tasks:
        finished = task["status"] == "done"
        day = due(task["due_date"], today, finished)
        when = "late" if day.endswith("late") else "today" if day == "today" else ""
        priority = "" if task["priority"] == "normal" else task["priority"]
        issue = f"#{task['issue']}" if task["issue"] else ""
        table.add_row(
            text(task["id"]),
            text(priority, priority),
            text(day, when),
            *([text(task["status"].replace("in_progress", "started"))] if states else []),
            text(f"{task['repository']}{issue}"),
            *([text(short(task["stars"])), text(pushed(task), "faint")] if facts else []),
            text(task["title"], "faint" if finished else ""),
        )
    terminal.print(table)


def print_task(task: Row, output: Output) -> None:
    """Print all that there is to know about a task."""
    today = date.today()
    terminal = console(output)
    terminal.print(text(f"#{task['id']} {task['title']}", "bold"), soft_wrap=True)
    table = new_table(("", {"style": "dim"}), ("", {"ratio": 1}))
    table.show_header = False
    table.expand = True
    table.columns[1].no_wrap = False
    table.columns[1].overflow = "fold"
    issue = f"#{task['issue']}" if task["issue"] else ""
    stars = f" ★ {task['stars']:,}" if task["stars"] is not None else ""
    day = due(task["due_date"], today, task["status"] == "done")
    near = day in NEAR or day.endswith("late")
    fetched = age(task["metadata_fetched_at"])
    topics = " ".join(task["topics"] or ())
    facts = {
        "status": task["status"].replace("_", " "),
        "priority": task["priority"],
        "due": f"{task['due_date']} ({day})" if near else task["due_date"],
        "tags": " ".join(f"+{tag}" for tag in task["tags"]),
        "repository": f"{task['repository']}{issue}{stars}",
        "about": task["repository_description"],
        "page": task["issue_url"] or task["repository_url"],
        "language": task["language"],
        "license": task["license"],
        "topics": topics,
        "archived": "yes" if task["archived"] else "",
        "pushed": f"{age(task['pushed_at'])} ago" if task["pushed_at"] else "",
        "metadata": f"{task['metadata_status']}, {fetched} old" if fetched else "pending",
        "created": local(task["created_at"]),
        "updated": f"{local(task['updated_at'])}, version {task['version']}",
        "completed": local(task["completed_at"]),
    }
    for name, value in facts.items():
        if value:
            table.add_row(name, text(value))
    terminal.print(table)
    if task["description"]:
        lines = "\n".join(visible(line) for line in task["description"].splitlines())
        terminal.print("", Text(lines), sep="\n")


def print_changes(changes: list[Row], output: Output) -> None:
    """Print a table of what GitHub changed."""
    table = new_table(("SEEN", {}), ("REPOSITORY", {}), ("CHANGE", {}))
    for change in changes:
        table.add_row(
            text(local(change["seen_at"]), "faint"),
            text(change["repository"]),
            text(describe_change(change)),
        )
    console(output).print(table)


def print_repositories(repositories: list[Row], output: Output) -> None:
    """Print a table of repositories."""
    table = new_table(
        ("REPOSITORY", {"min_width": 16}),
        ("★", {"justify": "right"}),
        ("LANGUAGE", {}),
        ("PUSHED", {}),
        ("FETCHED", {}),
        ("OPEN", {"justify": "right"}),
        ("STARTED", {"justify": "right"}),
        ("DONE", {"justify": "right"}),
    )
    for repository in repositories:
        tasks = repository["tasks"]
        table.add_row(
            text(repository["name"]),
            text(short(repository["stars"])),
            text(repository["language"]),
            text(pushed(repository), "faint"),
            text(age(repository["metadata_fetched_at"]), "faint"),
            *(text(tasks[status] or "") for status in ("open", "in_progress", "done")),
        )
    console(output).print(table)
