"""Dates as people type them; nothing but the standard library is imported."""

import re
from datetime import date, timedelta

WHEN = "a date such as 2026-12-01, today, tomorrow, a weekday such as fri, +3d, +2w, or none"
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DISTANCE = re.compile(r"\+([0-9]{1,4})([dw])")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_when(text: str, today: date) -> date | None:
    """Return the day that a text names, or None for `none`.

    A weekday is the next one after today, in full or by its first three letters or more.

    Raises:
        ValueError: the text names no day; the message says what is taken.
    """
    word = text.strip().lower()
    days = {"none": None, "today": today, "tomorrow": today + timedelta(days=1)}
    if word in days:
        return days[word]
    try:
        if _DATE.fullmatch(word):
            return date.fromisoformat(word)
        if distance := _DISTANCE.fullmatch(word):
            return today + timedelta(days=int(distance[1]) * (7 if distance[2] == "w" else 1))
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no day of the calendar") from None
    for number, name in enumerate(WEEKDAYS):
        if len(word) >= 3 and name.startswith(word):
            return today + timedelta(days=(number - today.weekday() - 1) % 7 + 1)
    raise ValueError(f"{text!r} is no date; use {WHEN}")
