"""Pages of the repositories that have tasks."""

from datetime import date, datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlencode

from flask import redirect, render_template, request, url_for

from ..api.parsing import query_without_cursor
from ..api.repositories import RepositoryQuerySchema
from ..api.tasks import github
from ..tasks import changes as history
from ..tasks import repository_pages
from . import changes, queries
from .blueprint import web
from .filters import OLD, QUIET

SORTS = {
    "name": "name",
    "-stars": "stars",
    "-pushed_at": "last push",
    "metadata_fetched_at": "oldest metadata",
}
CHANGES_SHOWN = 20
WIDTH, HEIGHT = 600, 100  # of a plot


@web.get("/web/repositories")
def repositories_page() -> Any:
    """Return the table of repositories; its query is the API's."""
    if request.args.get("language") == "":  # the form was sent without one
        pairs = [pair for pair in request.args.items(multi=True) if pair[1]]
        return redirect(url_for("web.repositories_page") + f"?{urlencode(pairs)}", 303)
    query = queries.parser.parse(RepositoryQuerySchema(), request, location="query")
    page = repository_pages.list_repositories(**query)
    pairs = [pair for pair in request.args.items(multi=True) if pair[0] != "cursor" and pair[1]]
    filters = [pair for pair in pairs if pair[0] not in {"sort", "limit", "language"}]
    sort = query["sort"]
    return render_template(
        "repositories.html",
        repositories=page.repositories,
        following=page.next and f"?{urlencode([*pairs, ('cursor', str(page.next))])}",
        beyond_first="cursor" in request.args,
        query=query_without_cursor(request),
        filtered=bool(query["filters"]),
        views=views(filters, [pair for pair in pairs if pair not in filters]),
        filters=filters,
        language=request.args.get("language", ""),
        sort=sort,
        sorts=SORTS if sort in SORTS else {**SORTS, sort: sort},
        old_before=time_ago(OLD),
    )


def views(
    filters: list[tuple[str, str]], others: list[tuple[str, str]]
) -> list[tuple[str, str, bool]]:
    """Return the name and the query of each view that is at hand, and whether it is this one."""
    named = {
        "All": [],
        "Quiet for a year": [("pushed_before", time_ago(QUIET)), ("archived", "false")],
        "Archived": [("archived", "true")],
        "Unavailable": [("metadata_status", "unavailable")],
        "Not fetched yet": [("metadata_status", "pending")],
        "Metadata old": [("fetched_before", time_ago(OLD))],
    }
    return [
        (name, urlencode([*pairs, *others]), sorted(pairs) == sorted(filters))
        for name, pairs in named.items()
    ]


def time_ago(seconds: int) -> str:
    """Return a time as the API takes it, to the hour: a view keeps its address for as long."""
    now = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
    return f"{now - timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"


@web.get("/web/repositories/<owner>/<name>")
def repository_page(owner: str, name: str) -> str:
    """Return the page of a repository: its metadata, its stars by day, and its changes."""
    repository = repository_pages.read_repository(f"{owner}/{name}")
    past = read_history(repository["name"])
    return render_template("repository.html", repository=repository, **past)


@web.post("/web/repositories/<owner>/<name>/refresh")
def refresh_repository(owner: str, name: str) -> Any:
    """Fetch the metadata of a repository."""
    repository = repository_pages.refresh_repository(f"{owner}/{name}", github)
    owner, _, name = repository["name"].partition("/")
    return redirect(url_for("web.repository_page", owner=owner, name=name), 303)


def read_history(name: str) -> dict[str, Any]:
    """Return the plot of a repository's stars, and its last changes, for its template.

    Raises:
        NoTasksOnRepository: no task is on the repository, or was.
    """
    found = history.list_changes(limit=CHANGES_SHOWN, repository=name)
    return {"plot": plot(history.read_stars(name)), "changes": changes.read_rows(found)}


def plot(days: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the points of the stars over time, with the first and last day; None for one day."""
    if len(days) < 2:
        return None
    dates = [date.fromisoformat(str(day["date"])) for day in days]
    stars = [day["stars"] for day in days]
    span, low = (dates[-1] - dates[0]).days, min(stars)
    height = max(stars) - low or 1
    across = [WIDTH * (day - dates[0]).days / span for day in dates]
    down = [HEIGHT - HEIGHT * (number - low) / height for number in stars]
    points = [f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True)]
    return {"points": " ".join(points), "first": days[0], "last": days[-1]}
