"""Tokens in a typed title, and dates as people type them."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.tasks.dates import WEEKDAYS, parse_when
from tracker.tasks.tokens import read_tokens

TODAY = date(2026, 11, 28)  # a Saturday


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-12-01", date(2026, 12, 1)),
        ("today", TODAY),
        ("Tomorrow", date(2026, 11, 29)),
        ("fri", date(2026, 12, 4)),
        ("sat", date(2026, 12, 5)),
        ("SUNDAY", date(2026, 11, 29)),
        ("+3d", date(2026, 12, 1)),
        ("+2w", date(2026, 12, 12)),
        ("none", None),
    ],
)
def test_a_day_can_be_named_in_each_way(text: str, day: date | None) -> None:
    assert parse_when(text, TODAY) == day


@pytest.mark.parametrize("text", ["", "fr", "soon", "2026-02-30", "+9999w9", "3d", "1.12.2026"])
def test_a_text_that_names_no_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no d"):
        parse_when(text, TODAY)


def test_a_day_beyond_the_calendar_is_refused() -> None:
    with pytest.raises(ValueError, match="no day of the calendar"):
        parse_when("+9999w", date(9990, 1, 1))


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.sampled_from(WEEKDAYS))
def test_a_weekday_is_the_next_one_after_today(today: date, name: str) -> None:
    day = parse_when(name, today)
    assert day is not None
    assert today < day <= today + timedelta(days=7)
    assert f"{day:%A}".lower() == name


def test_tokens_leave_the_title_and_set_fields() -> None:
    typed = read_tokens(["Try", "+upgrade", "3.2", "due:fri", "on", "!HIGH", "it", "+x"], TODAY)
    assert typed.title == "Try 3.2 on it"
    assert typed.fields == {"tags": ["upgrade", "x"], "due_date": "2026-12-04", "priority": "high"}


@pytest.mark.parametrize(
    "text",
    [
        "C++ is 2 + 2",
        "due: tomorrow",
        "!urgent ship it",
        "call a+b",
        "residue:fri",
        "wow!high",
        "+",
    ],
)
def test_other_words_stay_text(text: str) -> None:
    assert read_tokens(text.split(), TODAY).fields == {}
    assert read_tokens(text.split(), TODAY).title == text


@pytest.mark.parametrize("token", ["+tag", "due:fri", "due:never", "!low"])
def test_a_backslash_or_two_hyphens_keep_a_token_as_text(token: str) -> None:
    assert read_tokens(["\\" + token], TODAY).title == token
    assert read_tokens(["\\\\" + token], TODAY).title == "\\" + token
    assert read_tokens(["a", "--", token, "--"], TODAY).title == f"a {token} --"
    assert read_tokens([f"{token} in quotes"], TODAY).title == f"{token} in quotes"


def test_a_due_token_that_names_no_day_is_refused() -> None:
    with pytest.raises(ValueError, match="'never' is no date"):
        read_tokens(["due:never"], TODAY)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Z", "C"]), min_size=1)))
def test_every_title_can_be_written(words: list[str]) -> None:
    assert read_tokens(["--", *words], TODAY).title == " ".join(words)
