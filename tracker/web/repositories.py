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
from .filters import OLD

SORTS = {"name": "name", "-stars": "stars", "-pushed_at": "last push", "metadata_fetched_at": "age"}
CHANGES_SHOWN = 20
WIDTH, HEIGHT = 600, 100  # of a plot


@web.get("/web/repositories")
def repositories_page() -> str:
    """Return the table of repositories; its query is the API's."""
    query = queries.parser.parse(RepositoryQuerySchema(), request, location="query")
    page = repository_pages.list_repositories(**query)
    filters = [pair for pair in request.args.items(multi=True) if pair[0] not in {"sort", "cursor"}]
    return render_template(
        "repositories.html",
        repositories=page.repositories,
        following=page.next and f"?{urlencode([*_pairs(), ('cursor', str(page.next))])}",
        beyond_first="cursor" in request.args,
        query=query_without_cursor(request),
        sorts=[
            (name, urlencode([*filters, ("sort", sort)]), sort == query["sort"])
            for sort, name in SORTS.items()
        ],
        old_before=(datetime.now(timezone.utc) - timedelta(seconds=OLD)).isoformat(),
    )


@web.get("/web/repositories/<owner>/<name>")
def repository_page(owner: str, name: str) -> Any:
    """Return the page of a repository: its metadata, its stars by day, and its changes."""
    repository = repository_pages.read_repository(f"{owner}/{name}")
    found = history.list_changes(limit=CHANGES_SHOWN, repository=repository["name"])
    return render_template(
        "repository.html",
        repository=repository,
        plot=plot(history.read_stars(repository["name"])),
        changes=changes.read_rows(found),
    )


@web.post("/web/repositories/<owner>/<name>/refresh")
def refresh_repository(owner: str, name: str) -> Any:
    """Fetch the metadata of a repository."""
    repository = repository_pages.refresh_repository(f"{owner}/{name}", github)
    owner, _, name = repository["name"].partition("/")
    return redirect(url_for("web.repository_page", owner=owner, name=name), 303)


def _pairs() -> list[tuple[str, str]]:
    return [pair for pair in request.args.items(multi=True) if pair[0] != "cursor"]


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
