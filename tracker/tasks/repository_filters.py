"""Filters and sorts of the list of repositories."""

from dataclasses import replace
from datetime import datetime

from ..database.compiled import parameter
from ..database.models import Task, repository_key
from . import sorting
from .filters import FILTERS, Filter
from .sorting import SortColumn

REPOSITORY_FILTERS = {
    "archived": replace(
        FILTERS["archived"], description="Only repositories that are archived, or are not."
    ),
    "language": replace(
        FILTERS["language"],
        description=(
            "Only repositories with this language, in any letter case. Repeat for any of several."
        ),
    ),
    "metadata_status": replace(
        FILTERS["metadata_status"],
        description=(
            "Only repositories whose metadata are in this state. Repeat for any of several."
        ),
    ),
    "pushed_before": replace(
        FILTERS["pushed_before"],
        description="Only repositories that were last pushed to before this time.",
    ),
    "fetched_before": Filter(
        datetime,
        "Only repositories whose metadata GitHub last confirmed before this time.",
        "2026-11-01T00:00:00Z",
        Task.metadata_fetched_at < parameter("fetched_before"),
    ),
}

_times = sorting.SORT_COLUMNS["created_at"]
_texts = sorting.SORT_COLUMNS["title"]
SORT_COLUMNS = {
    "name": SortColumn(repository_key, _texts.parse),
    "stars": sorting.SORT_COLUMNS["stars"],
    "pushed_at": sorting.SORT_COLUMNS["pushed_at"],
    "metadata_fetched_at": SortColumn(Task.metadata_fetched_at, _times.parse, nullable=True),
}
SORTS = [sign + name for name in SORT_COLUMNS for sign in ("", "-")]
DEFAULT_SORT = "name"
