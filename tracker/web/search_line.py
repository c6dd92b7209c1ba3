"""The search line: filters as `name:value`, and words to search for, in one text.

`status:open tag:"two words" flask err` stands for the API's query
`status=open&tag=two+words&q=flask+err`, and the other way round.
"""

import re
from collections.abc import Iterable

from ..tasks.filters import FILTERS

_NAMES = "|".join(name for name in FILTERS if name != "q")
_VALUE = r'"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s"]+)'
_FILTER = re.compile(rf"(?P<name>{_NAMES}):(?:{_VALUE})")
_TOKEN = re.compile(rf'(?:{_NAMES}):"(?:[^"\\]|\\.)*"(?!\S)|(?:"[^"]*"?|[^\s"])+')


def read_search(line: str) -> list[tuple[str, str]]:
    r"""Return the parameters that a line stands for; its words are `q`.

    A backslash before `name:value` keeps it as words to search for. Values are not checked.
    """
    found: list[tuple[str, str]] = []
    words: list[str] = []
    for token in _TOKEN.findall(line):
        if match := _FILTER.fullmatch(token):
            quoted = match["quoted"]
            value = match["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found.append((match["name"], value))
        elif token.startswith("\\") and _FILTER.fullmatch(token.lstrip("\\")):
            words.append(token[1:])
        else:
            words.append(token)
    return [*found, ("q", " ".join(words))] if words else found


def write_search(parameters: Iterable[tuple[str, str]]) -> str:
    """Return the line that stands for the filters among these parameters."""
    parts: list[str] = []
    words: list[str] = []
    for name, value in parameters:
        if name == "q":
            words += [_escape(token) for token in _TOKEN.findall(value)]
        elif name in FILTERS:
            parts.append(f"{name}:{_quote(value)}")
    return " ".join(parts + words)


def _escape(token: str) -> str:
    return f"\\{token}" if _FILTER.fullmatch(token.lstrip("\\")) else token


def _quote(value: str) -> str:
    if re.fullmatch(r'[^\s"]+', value):
        return value
    return '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
