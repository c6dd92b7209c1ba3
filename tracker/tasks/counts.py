"""Numbers of tasks, by one of their properties."""

from datetime import date, datetime, timezone
from enum import Enum
from functools import cache, lru_cache
from typing import Any, NamedTuple

from peewee import SQL, Case, Select, fn

from ..database.compiled import CompiledQuery, parameter
from ..database.connection import connection, retry_on_disconnect
from ..database.models import Priority, Status, Task, repository_key
from ..database.standby import prefer_standby
from .filters import apply_filters, filter_key, filter_values
from .lists import bounded_search
from .page_queries import Total, count, estimate

NAMES_MAX = 100  # of tags, languages or repositories in a response
UNFINISHED = [Status.OPEN.value, Status.IN_PROGRESS.value]
GROUPS_MAX = 20_000  # tasks whose repositories are counted; some 10 ms
NO_NAME = "none"


class By(str, Enum):
    """Property by which tasks are counted."""

    STATUS = "status"
    PRIORITY = "priority"
    TAG = "tag"
    LANGUAGE = "language"
    REPOSITORY = "repository"
    DUE = "due"


_TODAY = parameter("today")
_DUE = {
    "overdue": Task.due_date < _TODAY,
    "today": Task.due_date == _TODAY,
    "week": Task.due_date <= SQL("%s + 7", _TODAY.params),
    "later": Task.due_date.is_null(False),
    NO_NAME: SQL("true"),
}
_CHOICES: dict[By, tuple[Any, list[str]]] = {
    By.STATUS: (Task.status, [each.value for each in Status]),
    By.PRIORITY: (Task.priority, [each.value for each in Priority]),
    By.DUE: (Case(None, [(condition, name) for name, condition in _DUE.items()]), [*_DUE]),
}
# The column, and the key of names that are one: it differs by letter case alone.
_NAMES: dict[By, tuple[Any, SQL]] = {
    By.TAG: (fn.unnest(Task.tags), SQL("lower_tags(ARRAY[name])")),
    By.LANGUAGE: (Task.language, SQL('lower(name COLLATE "C")')),
    By.REPOSITORY: (Task.repository, SQL('lower(name COLLATE "C")')),
}


def count_tasks(filters: dict[str, Any], by: By, today: date | None) -> dict[str, int]:
    """Return how many tasks the filters select, by a property, in a useful order.

    All statuses, priorities or times until the due date, in their own order; of tags, languages
    or repositories the NAMES_MAX with the most tasks, in the spelling that most tasks have.
    `today` is the day of the client, or that of UTC.

    Raises:
        DatabaseUnavailable: PostgreSQL can't read it now.
        TooManySearches: too many other requests are searching.
        SearchTooBroad: the search takes too long.
    """
    today = today or datetime.now(timezone.utc).date()
    with bounded_search(filters):
        found = _read(filters, by, today)
    if by in _CHOICES:
        return {name: found.get(name, 0) for name in _CHOICES[by][1]}
    return {NO_NAME if name is None else name: number for name, number in found.items()}


class Overview(NamedTuple):
    """The numbers of unfinished tasks, and of repositories unless counting those takes long."""

    unfinished: Total
    repositories: int | None


@retry_on_disconnect
@prefer_standby
def read_overview() -> Overview:
    """Return the numbers of unfinished tasks and of repositories.

    Raises:
        DatabaseUnavailable: PostgreSQL can't read them now.
    """
    filters = {"status": UNFINISHED}
    with connection():
        unfinished = count(filter_key(filters), filter_values(filters))
        if estimate((), {}) > GROUPS_MAX:
            return Overview(unfinished, None)
        return Overview(unfinished, _repositories().execute().fetchone()[0])


@cache
def _repositories() -> CompiledQuery:
    names = Task.select(repository_key).group_by(repository_key).alias("names")
    return CompiledQuery(Select((names,), (fn.count(SQL("*")),)))


@retry_on_disconnect
@prefer_standby
def _read(filters: dict[str, Any], by: By, today: date) -> dict[str | None, int]:
    with connection():
        values = filter_values(filters)
        return dict(_query(by, *filters).execute(**values, today=today).fetchall())


@lru_cache(maxsize=1000)
def _query(by: By, *filters: str) -> CompiledQuery:
    number = fn.count(SQL("*")).alias("number")
    if by in _CHOICES:
        choice = _CHOICES[by][0].alias("choice")
        return CompiledQuery(apply_filters(Task.select(choice, number), filters).group_by(SQL("1")))
    column, key = _NAMES[by]
    names = apply_filters(Task.select(column.alias("name")), filters).alias("names")
    spellings = Select((names,), (names.c.name, number)).group_by(names.c.name).alias("spellings")
    spelling = SQL("""(array_agg(name ORDER BY number DESC, name COLLATE "C"))[1] COLLATE "C" """)
    total = fn.sum(spellings.c.number).cast("bigint")
    counts = Select((spellings,), (spelling, total)).group_by(key)
    return CompiledQuery(counts.order_by(SQL("2 DESC, 1")).limit(SQL(str(NAMES_MAX))))
