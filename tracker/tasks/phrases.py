"""Values as people read them: numbers, times, days, and a task in one line."""

from __future__ import annotations

import unicodedata
from datetime import date, datetime, timedelta, timezone
from typing import Any

# Bidirectional controls reorder the text around them: https://www.unicode.org/reports/tr9/
BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
STATES = {"in_progress": "in progress"}
DAYS_NAMED = 6  # days ahead that are named by their weekday


def visible(text: str) -> str:
    """Return the text with control characters escaped: terminals and browsers obey them."""
    if text.isprintable():
        return text
    return "".join(_escape(sign) for sign in text)


def _escape(sign: str) -> str:
    if sign in BIDI or unicodedata.category(sign) in {"Cc", "Cs", "Zl", "Zp"}:
        return sign.encode("unicode_escape").decode()
    return sign


def visible_lines(text: str) -> str:
    """Return the text with control characters escaped, but for the ends of its lines."""
    return "\n".join(map(visible, text.split("\n")))


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as `1 task` and `2,000 tasks`."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {noun if number == 1 else plural}"


def short(number: int | None) -> str:
    """Return a number in four characters at most, such as `950`, `1.2k` and `70k`."""
    if number is None:
        return ""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if number >= size - size // 2_000:
            digits = f"{number / size:.1f}" if number < 9.95 * size else f"{number / size:.0f}"
            return digits.removesuffix(".0") + unit
    return str(number)


def span(seconds: float) -> str:
    """Return a duration, such as `3 s`, `2 min`, `5 h`, `3 d`, `4 mo` and `2 y`."""
    for size, unit in (
        (365 * 86_400, "y"),
        (30 * 86_400, "mo"),
        (86_400, "d"),
        (3_600, "h"),
        (60, "min"),
    ):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(int(seconds), 0)} s"


def parse_time(text: str) -> datetime:
    """Return a time of a response."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def age(text: str | None) -> str:
    """Return how long ago a time of a response was."""
    if not text:
        return ""
    return span((datetime.now(timezone.utc) - parse_time(text)).total_seconds())


def due(text: str | None, today: date, finished: bool = False) -> str:
    """Return a due date beside today: `2 d late`, `tomorrow`, `Fri 27 Nov`."""
    if not text:
        return ""
    day = date.fromisoformat(text)
    days = (day - today).days
    if days < 0 and not finished:
        return f"{-days} d late"
    if days in (0, 1):
        return ("today", "tomorrow")[days]
    if 0 < days <= DAYS_NAMED:
        return f"{day:%a} {day.day} {day:%b}"
    return f"{day.day} {day:%b}" if day.year == today.year else f"{day.day} {day:%b %Y}"


def pushed(task: dict[str, Any]) -> str:
    """Return the age of a repository's last push, or why it does not count."""
    if task["metadata_status"] != "current":
        return {"pending": "pending", "unavailable": "gone"}[task["metadata_status"]]
    return "archived" if task["archived"] else age(task["pushed_at"])


def sentence(task: dict[str, Any], today: date | None = None) -> str:
    """Return a task in one line."""
    today = today or date.today()
    stars = f" ★ {short(task['stars'])}" if task["stars"] is not None else ""
    issue = f"#{task['issue']}" if task["issue"] else ""
    finished = task["status"] == "done"
    day = due(task["due_date"], today, finished)
    parts = [
        f"#{task['id']} {task['title']}",
        f"{task['repository']}{issue}{stars}",
        "" if task["status"] == "open" else STATES.get(task["status"], task["status"]),
        day if day.endswith("late") or not day else f"due {day}",
        "" if task["priority"] == "normal" else task["priority"],
        " ".join(f"+{tag}" for tag in task["tags"]),
    ]
    return " · ".join(visible(part) for part in parts if part)


def local(text: str | None) -> str:
    """Return a time of a response on this machine's clock, to the minute."""
    return f"{parse_time(text).astimezone():%Y-%m-%d %H:%M}" if text else ""


def ago(text: str) -> timedelta:
    """Return the duration in a text such as `1d`, `12h` or `2w`.

    Raises:
        ValueError: it is none.
    """
    units = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    number, unit = text[:-1], text[-1:]
    if not (number.isascii() and number.isdecimal() and len(number) <= 4 and unit in units):
        raise ValueError(f"{text!r} is no duration; use one such as 30m, 12h, 1d or 2w")
    return timedelta(**{units[unit]: int(number)})


def describe_change(change: dict[str, Any]) -> str:
    """Return what has changed, such as `renamed: a/b → c/d`."""
    before, after = change["before"], change["after"]
    if change["kind"] in {"renamed", "license", "visibility"}:
        return f"{change['kind']}: {before or 'none'} → {after or 'none'}"
    return str(change["kind"])
