"""Tokens in a typed title: `+tag`, `due:WHEN` and `!priority`, and nothing else.

The command line and the page read a title alike. Only the standard library is imported.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from .dates import parse_when

PRIORITIES = ("low", "normal", "high")
_TAG = re.compile(r"\+(?=\S*\w)\S+")
_TOKEN = re.compile(rf"{_TAG.pattern}|due:\S+|!({'|'.join(PRIORITIES)})", re.IGNORECASE)
END = "--"  # all words after it are text


@dataclass
class Typed:
    """A typed title without its tokens, and the fields that the tokens set."""

    title: str = ""
    fields: dict[str, Any] = field(default_factory=dict)


def read_tokens(words: Iterable[str], today: date) -> Typed:
    r"""Return the title and the fields in the words.

    A backslash before a token keeps it as text without the backslash, and `--` keeps all words
    after it. A word with a blank in it, which a shell's quotes make, is no token. A later token
    replaces an earlier one; tags add up.

    Raises:
        ValueError: `due:` names no day.
    """
    typed = Typed()
    text: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == END:
            text.extend(rest)
        elif word.startswith("\\") and _TOKEN.fullmatch(word.lstrip("\\")):
            text.append(word[1:])
        elif not _TOKEN.fullmatch(word):
            text.append(word)
        elif word.startswith("+"):
            typed.fields.setdefault("tags", []).append(word[1:])
        elif word.startswith("!"):
            typed.fields["priority"] = word[1:].lower()
        else:
            day = parse_when(word[len("due:") :], today)
            typed.fields["due_date"] = day.isoformat() if day else None
    typed.title = " ".join(text)
    return typed
