"""The language of a search: words, "phrases", -exclusions and `or`.

The texts that it searches are those of the column `search`, in database/models.py.
"""

import re
from dataclasses import dataclass

from ..database.text import SINGLES, search_words

TERMS_MAX = 10  # words and phrases

_TERM = re.compile(r'-?"[^"]*"?|[^\s"]+')
_SINGLE = re.compile(f"[{SINGLES}]")


@dataclass(frozen=True)
class Term:
    """A word, or several in a row."""

    words: tuple[str, ...]
    exact: bool  # in quotes: the words are whole
    excluded: bool

    def covers(self, other: "Term") -> bool:
        """Return whether every task that the other term finds is found by this one too."""
        if self.exact or self.excluded or other.excluded or len(self.words) > 1:
            return self == other
        return any(word.startswith(self.words[0]) for word in other.words)

    def to_query(self, *, alone: bool) -> str:
        """Return the term in PostgreSQL's notation; its last word is found by its beginning.

        One letter begins too many words to be searched for along with others: it is a whole word.
        """
        last = self.words[-1]
        whole = self.exact or _SINGLE.match(last) or (len(last) == 1 and not alone)
        # A word contains no quote and no backslash: both are separators.
        query = " <-> ".join(f"'{word}'" for word in self.words) + ("" if whole else ":*")
        return f"{'!' if self.excluded else ''}({query})"


def parse_search(text: str) -> str:
    """Return a search as PostgreSQL's tsquery.

    Each term is found by the beginning of its last word, and all have to be found; the rest is
    as in
    https://www.postgresql.org/docs/current/textsearch-controls.html#TEXTSEARCH-PARSING-QUERIES

    Raises:
        ValueError: it has no word to find, or more than TERMS_MAX.
    """
    alternatives = [_distinct(terms) for terms in _alternatives(text)]
    terms = [term for alternative in alternatives for term in alternative]
    for alternative in alternatives or [[]]:
        if all(term.excluded for term in alternative):
            raise ValueError("Must contain a word to find, besides those that are excluded.")
    if len(terms) > TERMS_MAX:
        raise ValueError(f"Must contain at most {TERMS_MAX} words and phrases.")
    alone = len(terms) == 1
    return " | ".join(
        " & ".join(term.to_query(alone=alone) for term in alternative)
        for alternative in alternatives
    )


def _alternatives(text: str) -> list[list[Term]]:
    """Return the terms between each `or`."""
    found: list[list[Term]] = [[]]
    for part in _TERM.findall(text):
        if part.lower() == "or" and found[-1]:
            found.append([])
            continue
        excluded, exact = part.startswith("-"), '"' in part
        if words := search_words(part):
            found[-1].append(Term(tuple(words), exact, excluded))
    return [terms for terms in found if terms]


def _distinct(terms: list[Term]) -> list[Term]:
    """Return the terms without those that change nothing beside another."""
    kept: list[Term] = []
    for term in dict.fromkeys(terms):
        others = [other for other in dict.fromkeys(terms) if other != term]
        if not any(term.covers(other) for other in others):
            kept.append(term)
    return kept
