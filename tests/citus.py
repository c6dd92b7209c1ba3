"""A lint over SQL: what Citus refuses where `tasks` is distributed by its id.

The rules follow Citus's own planner, src/backend/distributed/planner in citusdata/citus. They read
text, not a syntax tree, so they know only the forms that our code could have.
"""

import logging
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

LOCAL = {"changes", "former_names", "idempotency_keys", "stars"}  # tables that are not distributed
MUTABLE = re.compile(
    r"\b(?:now|to_char|row_to_json|to_json|json_build_object|array_to_string|random|"
    r"clock_timestamp|statement_timestamp|gen_random_uuid|nextval)\s*\(|\bCURRENT_\w+"
)
WRITE = re.compile(r"\b(?:INSERT INTO|UPDATE|DELETE FROM) tasks\b")


class Rule(NamedTuple):
    """What Citus refuses, and what works there too."""

    refused: str
    instead: str
    applies: Callable[[str], bool]


def _finds(pattern: str) -> Callable[[str], bool]:
    return lambda sql: re.search(pattern, sql) is not None


def _has_subquery_in_values(sql: str) -> bool:
    values = sql.partition(" RETURNING ")[0]
    return re.search(r"INSERT INTO tasks\b.*\bVALUES\b.*\(SELECT", values) is not None


def _returns_mutable(sql: str) -> bool:
    _, found, returned = sql.partition(" RETURNING ")
    return bool(found and (MUTABLE.search(returned) or "(SELECT" in returned))


def _has_mutable_case(sql: str) -> bool:
    cases = re.findall(r"\bCASE\b.*?\bEND\b|\bCOALESCE\s*\([^()]*\([^()]*\)", sql)
    return bool(WRITE.search(sql)) and any(MUTABLE.search(case) for case in cases)


def _has_mutable_on_conflict(sql: str) -> bool:
    clause = sql.partition(" ON CONFLICT ")[2].partition(" RETURNING ")[0]
    return "INSERT INTO tasks" in sql and bool(MUTABLE.search(clause))


def _has_mutable_subquery_without_from(sql: str) -> bool:
    parts = [part for part in subqueries(sql) if not re.search(r"\bFROM\b", part)]
    return any(MUTABLE.search(part) for part in parts)


def _joins_local_table(sql: str) -> bool:
    return bool(LOCAL & set(re.findall(r"\b(?:FROM|JOIN|INTO|UPDATE|USING) (\w+)\b", sql)))


RULES = (
    Rule(
        "a subquery, or a function that is not immutable, in RETURNING",
        "return columns",
        _returns_mutable,
    ),
    Rule(
        "a subquery within INSERT ... VALUES",
        "read it by a SELECT of its own, or use INSERT ... SELECT",
        _has_subquery_in_values,
    ),
    Rule("LATERAL", "use id = $1, or id = ANY ($1)", _finds(r"\bLATERAL\b")),
    Rule(
        "now() or another function that is not immutable in the CASE or COALESCE of a write",
        "pass the moment as a parameter, or use two statements",
        _has_mutable_case,
    ),
    Rule(
        "now() or another function that is not immutable in ON CONFLICT",
        "use DO NOTHING, then an UPDATE",
        _has_mutable_on_conflict,
    ),
    Rule(
        "a function that is not immutable in a subquery without FROM",
        "call it in a query around that one",
        _has_mutable_subquery_without_from,
    ),
    Rule(
        "a volatile function in UPDATE or DELETE",
        "pass its value as a parameter",
        _finds(r"\b(?:UPDATE|DELETE FROM) tasks\b.*\b(?:random|clock_timestamp|nextval)\("),
    ),
    Rule(
        "FOR UPDATE or FOR SHARE over several shards",
        "use an advisory lock, or name the version in the UPDATE",
        _finds(r"\bFOR (?:NO KEY UPDATE|UPDATE|KEY SHARE|SHARE)\b"),
    ),
    Rule("a recursive CTE", "read level by level", _finds(r"\bWITH RECURSIVE\b")),
    Rule(
        "GROUPING SETS, CUBE, ROLLUP and TABLESAMPLE",
        "use statements of their own",
        _finds(r"\b(?:GROUPING SETS|CUBE|ROLLUP|TABLESAMPLE)\b"),
    ),
    Rule(
        "a join with a table that is not distributed",
        "read that table by a statement of its own",
        _joins_local_table,
    ),
)
PLAN_MODE = "plan_cache_mode = force_generic_plan; leave it at auto"


def refusals(sql: str) -> list[str]:
    """Return why Citus refuses a statement; an empty list if it takes it."""
    if re.search(r"plan_cache_mode (?:=|TO) '?force", sql):
        return [PLAN_MODE]
    sql = re.sub(r"'(?:[^']|'')*'", "''", sql.replace('"', ""))
    sql = re.sub(r"\s+", " ", sql).replace("IS DISTINCT FROM", "<>").replace("( SELECT", "(SELECT")
    if not re.search(r"\b(?:FROM|JOIN|INTO|UPDATE|ONLY) tasks\b", sql):
        return []
    return [f"{rule.refused}; {rule.instead}" for rule in RULES if rule.applies(sql)]


def subqueries(sql: str) -> Iterator[str]:
    """Yield the text of each subquery, without those in it."""
    texts: list[list[str]] = [[]]
    opened: list[bool] = []  # for each parenthesis, whether it opens a subquery
    for index, character in enumerate(sql):
        if character == "(":
            opened.append(sql.startswith("(SELECT", index))
            if opened[-1]:
                texts.append([])
        elif character == ")" and opened and opened.pop():
            yield "".join(texts.pop())
            continue
        texts[-1].append(character)


class StatementLint(logging.Handler):
    """Collects what Citus would refuse of the statements that Peewee logs."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.refused: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        sql = record.msg[0]
        if sql not in self.seen:
            self.seen.add(sql)
            self.refused += [f"Citus refuses {reason}: {sql}" for reason in refusals(sql)]
