"""Reader of `.env`: NAME=value on each line, with literal values.

python-dotenv would replace `${NAME}` and backslashes, and skip a line that it can't parse.
"""

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
QUOTED = re.compile(r"""(["'])((?:(?!\1).)*)\1[ \t]*(?:#.*)?""")
COMMENT = re.compile(r"[ \t]+#.*")
BLANK = " \t"
SIMILAR = 0.87  # ratio of difflib: one wrong letter in eight


class Dotenv(NamedTuple):
    """The content of a `.env`."""

    values: dict[str, str]
    lines: dict[str, int]  # the line of each name
    problems: list[str]  # what can't be read or parsed, with the reason; never with a line's text

    def misspelt(self, names: Iterable[str]) -> dict[str, str]:
        """Return the names in the file that look like one of `names`, with that one."""
        known = set(names)
        return {
            name: similar
            for name in self.lines
            if name not in known and (similar := most_similar(name.upper(), known))
        }

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Return a warning for each name that looks like one of `names`."""
        return [
            f".env, line {self.lines[name]}: {name} is not a setting; did you mean {similar}?"
            for name, similar in self.misspelt(names).items()
        ]


def most_similar(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is almost this one, or that has its letters in another order."""
    # In a short name, two letters that changed places are too much for the ratio.
    swapped = [each for each in known if sorted(each) == sorted(name)]
    return next(iter(swapped or difflib.get_close_matches(name, known, 1, SIMILAR)), None)


def read_dotenv(path: Path) -> Dotenv:
    """Return the content of a `.env`, which is empty if there is no such file."""
    found = Dotenv({}, {}, [])
    try:
        text = path.read_text(encoding="utf-8-sig") if path.exists() else ""
    except OSError as error:
        found.problems.append(f"{path.name} can't be read: {error}")
        return found
    except UnicodeDecodeError as error:
        number = error.object[: error.start].count(b"\n") + 1
        found.problems.append(f"{path.name}, line {number} is not UTF-8; save the file as UTF-8")
        return found
    for number, line in enumerate(text.split("\n"), 1):
        content = line.strip(BLANK)
        if not content or content.startswith("#"):
            continue
        try:
            name, value = parse_line(content)
            if name in found.lines:
                raise ValueError(f"sets the name of line {found.lines[name]} again; remove one")
        except ValueError as error:
            found.problems.append(f"{path.name}, line {number} {error}")
        else:
            found.values[name] = value
            found.lines[name] = number
    return found


def parse_line(line: str) -> tuple[str, str]:
    """Return the name and the value in a line.

    Raises:
        ValueError: it can't be parsed; the message says why, without the line's text.
    """
    name, equals, rest = line.partition("=")
    name = re.sub(r"^export[ \t]+", "", name).strip(BLANK)
    if not equals:
        raise ValueError("has no `=`; write NAME=value")
    if not NAME.fullmatch(name):
        raise ValueError("has a name with other characters than A-Z, a-z, 0-9 and _")
    if rest.strip(BLANK)[:1] not in ("'", '"'):
        return name, COMMENT.sub("", rest).strip(BLANK)
    quoted = QUOTED.fullmatch(rest.strip(BLANK))
    if not quoted:
        raise ValueError("has a quote that is not closed, or text behind the closing quote")
    return name, quoted[2]


def own_environment() -> dict[str, str]:
    """Return the environment without the variables that Flask's command line read from `.env`.

    `flask` reads the file through python-dotenv, or else that of a parent folder.
    """
    if "FLASK_RUN_FROM_CLI" not in os.environ or os.environ.get("FLASK_SKIP_DOTENV"):
        return dict(os.environ)
    from dotenv import dotenv_values, find_dotenv

    read = dotenv_values(find_dotenv(usecwd=True))
    return {name: value for name, value in os.environ.items() if read.get(name) != value}
