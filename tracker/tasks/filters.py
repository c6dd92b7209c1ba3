"""Filters of a list: the condition of each, and the words of a search."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from peewee import Expression, ModelSelect, fn

from ..database.compiled import parameter
from ..database.models import Task
from ..database.queries import current_names

WORDS_MAX = 10
PUNCTUATION = r"[!-/:-@\[-`{-~\s]+"  # what separates words; the search column has spaces instead


def search_words(text: str) -> list[str]:
    """Return the words to search for, without those that are the beginning of another."""
    found = [word for word in re.split(PUNCTUATION, text) if any(map(str.isalnum, word))]
    words = {word.lower(): word for word in found}
    # As spelled: PostgreSQL's lower() differs from Python's for some letters, such as a final Σ.
    return [
        word
        for lower, word in words.items()
        if not any(other != lower and other.startswith(lower) for other in words)
    ]


def _search_query(text: str) -> str:
    """Return PostgreSQL's query for all words, each by its beginning.

    One letter begins too many words to be searched for along with others: it is a whole word.
    """
    words = search_words(text)
    # The words contain no punctuation, so none can end its quotes.
    return " & ".join(
        f"'{word}'" if len(word) == 1 and len(words) > 1 else f"'{word}':*" for word in words
    )


@dataclass(frozen=True)
class Filter:
    """The condition for a value of the filter's own name, and how the value is stored."""

    condition: Any
    convert: Callable[[Any], Any] = lambda value: value


FILTERS = {
    "status": Filter(Task.status == parameter("status")),
    "priority": Filter(Task.priority == parameter("priority")),
    "tag": Filter(Expression(Task.tags, "@>", parameter("tag"))),
    "repository": Filter(
        fn.lower(Task.repository) == fn.ANY(parameter("repository")), current_names
    ),
    "archived": Filter(Task.archived == parameter("archived")),
    "metadata_status": Filter(Task.metadata_status == parameter("metadata_status")),
    "due_before": Filter(Task.due_date < parameter("due_before")),
    "q": Filter(
        Expression(Task.search, "@@", fn.to_tsquery("simple", parameter("q"))), _search_query
    ),
}


def apply_filters(select: "ModelSelect[Task]", names: Iterable[str]) -> "ModelSelect[Task]":
    """Return the query narrowed to the tasks that every filter selects."""
    for name in names:
        select = select.where(FILTERS[name].condition)
    return select


def filter_values(filters: dict[str, Any]) -> dict[str, Any]:
    """Return the values with which the query is executed."""
    return {name: FILTERS[name].convert(value) for name, value in filters.items()}
