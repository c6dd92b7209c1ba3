"""Pages of the list: requests for the same page share a read, and searches are limited."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import BoundedSemaphore
from typing import Any

from peewee import PeeweeException

from ..database.connection import connection, retry_on_disconnect
from ..database.driver import STATEMENT_TIMEOUT
from ..database.errors import QUERY_CANCELED, sqlstate
from ..database.standby import prefer_standby
from ..errors import DatabaseTimeout, SearchTooBroad, TooManySearches
from . import pagination
from .batching import BatchLoader

logger = logging.getLogger(__name__)

SEARCHES_MAX = 4  # at a time in a process: a search may take long, and others need connections
SEARCH_WAIT = 3.0  # seconds

_searches = BoundedSemaphore(SEARCHES_MAX)


def list_tasks(query: dict[str, Any]) -> pagination.Page:
    """Return a page of the tasks that the query's filters select, in its order.

    Raises:
        DatabaseUnavailable: PostgreSQL can't read it now.
        TooManySearches: SEARCHES_MAX other requests are searching.
        SearchTooBroad: the search takes too long.
    """
    page = _pages.load(_ListQuery(repr(query), query))
    assert page
    return page


@contextmanager
def search_slot(filters: dict[str, Any]) -> Iterator[None]:
    """Limit concurrent searches, where the filters have one.

    Raises:
        TooManySearches: SEARCHES_MAX other requests are searching.
    """
    if "q" not in filters:
        yield
        return
    if not _searches.acquire(timeout=SEARCH_WAIT):
        raise TooManySearches("Too many searches at a time; try again.", retry_after=1)
    try:
        yield
    finally:
        _searches.release()


@contextmanager
def bounded_search(filters: dict[str, Any]) -> Iterator[None]:
    """Limit concurrent searches, and translate the timeout of a broad one: a retry would not help.

    Raises:
        TooManySearches: SEARCHES_MAX other requests are searching.
        SearchTooBroad: PostgreSQL has canceled the search at its statement_timeout.
    """
    with search_slot(filters):
        started = time.monotonic()
        try:
            yield
        except DatabaseTimeout as error:
            cause, seconds = error.__cause__, STATEMENT_TIMEOUT // 1000
            canceled = isinstance(cause, PeeweeException) and sqlstate(cause) == QUERY_CANCELED
            if "q" not in filters or not canceled or time.monotonic() - started < seconds:
                raise
            logger.warning("A search took longer than %d seconds", seconds)
            raise SearchTooBroad(
                f"Search takes longer than {seconds} seconds; add a rarer word or another filter."
            ) from error


@dataclass(frozen=True)
class _ListQuery:
    """The values of a list's query, and the text that tells whether two are the same."""

    text: str
    values: dict[str, Any] = field(compare=False)


def _read_pages(queries: list[_ListQuery]) -> dict[_ListQuery, pagination.Page]:
    return {query: _read_page(query.values) for query in queries}


def _read_page(query: dict[str, Any]) -> pagination.Page:
    with bounded_search(query["filters"]):
        return _read_now(query)


@retry_on_disconnect
@prefer_standby
def _read_now(query: dict[str, Any]) -> pagination.Page:
    with connection():
        return pagination.read_page(**query)


_pages = BatchLoader(_read_pages, max_batch_size=1)
