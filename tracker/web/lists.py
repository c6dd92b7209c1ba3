"""The list of tasks, its adding line, and its rows' buttons."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from flask import Response, jsonify, redirect, render_template, request, url_for
from werkzeug.exceptions import HTTPException

from ..api.parsing import query_without_cursor
from ..api.schemas import CreateHeadersSchema
from ..api.tasks import github
from ..errors import GitHubError, RepositoryUnavailable, TrackerError
from ..tasks import lists, service
from ..tasks.pagination import Page
from ..tasks.sorting import DEFAULT_SORT, SORT_COLUMNS
from . import forms, queries
from .blueprint import wants_html, web
from .forms import Refusal
from .search_line import read_search, write_search

UNFINISHED = (("status", "open"), ("status", "in_progress"))
# Each sort that people choose, with its name; the others work in the URL, and are shown then.
SORTS = {
    "-created_at": "newest",
    "due_date": "due",
    "-priority": "priority",
    "-updated_at": "changed",
    "-stars": "stars",
    "-pushed_at": "last push",
    "title": "title",
    "-completed_at": "completed",
}


@web.get("/")
def list_page() -> Any:
    """Return the list of tasks; its URL is the API's query."""
    if "search" in request.args:
        pairs = [*read_search(request.args["search"]), *queries.order()]
        return redirect(url_for("web.list_page") + (f"?{urlencode(pairs)}" if pairs else ""), 303)
    try:
        query = queries.parse_query()
    except HTTPException as error:
        if not wants_html() or error.code != 422:
            raise
        messages = getattr(error, "data", {}).get("messages", {})
        problems = forms.flat(messages.get("query", {}))
        return render_list(None, problems=problems), 422
    return render_list(lists.list_tasks(query), line=request.args.get("add", ""))


@web.post("/web/tasks")
def add_task() -> Any:
    """Create a task from the typed line, and return to the list.

    A form that is sent twice creates one task, by the key that it has.
    """
    line = request.form.get("line", "")
    try:
        fields = forms.load(forms.read_line(line))
        options = forms.load(
            {"Idempotency-Key": request.form.get("key", "")}, CreateHeadersSchema()
        )
        optional = request.form.get("metadata") == "optional"
        task, _ = service.create_task(fields, github, metadata_optional=optional, **options)
    except TrackerError as error:
        if not wants_html():
            raise
        may_save = isinstance(error, GitHubError) and not isinstance(error, RepositoryUnavailable)
        page = lists.list_tasks(queries.empty_query())
        return render_list(page, line=line, failure=str(error), may_save=may_save), error.status
    return redirect(f"{forms.local_path(request.form.get('next'))}#t{task.id}", 303)


@web.post("/web/rows")
def change_rows() -> Any:
    """Change the status of the tasks whose boxes are ticked, or of one by its button.

    One that can't be changed does not stop the others.
    """
    form = request.form
    changed, failures = 0, []
    for name, status in (("done", "done"), ("reopen", "open")):
        rows = form.getlist("task") if form.get(name) == "" else form.getlist(name)
        for task_id, version in map(forms.read_version, rows[: queries.ROWS_MAX]):
            try:
                service.edit_task(task_id, {"status": status}, github, [version])
                changed += 1
            except TrackerError as error:
                failures.append(error)
    if failures and (len(failures) + changed == 1 or not wants_html()):
        raise failures[0]
    if failures:
        reasons = " ".join(dict.fromkeys(map(str, failures)))
        text = f"{changed} changed, {len(failures)} not: {reasons}"
        page = lists.list_tasks(queries.empty_query())
        return render_list(page, failure=text), failures[0].status
    return redirect(forms.local_path(form.get("next")), 303)


@web.get("/web/preview")
def preview() -> Response:
    """Return a typed line's fields, and with `ask=true` what GitHub and we know of it."""
    try:
        fields = forms.read_line(request.args.get("line", ""))
        name = forms.load(fields)["repository"]
    except Refusal as error:
        return jsonify({"message": str(error)})
    found: dict[str, Any] = {"fields": fields, "repository": name}
    if request.args.get("ask") == "true":
        try:
            known = github.repository(name)
            name = known.name
            found |= {"repository": name, "stars": known.stars, "archived": known.archived}
        except GitHubError as error:
            found["message"] = str(error)
        query = queries.empty_query() | {"filters": {"repository": name}, "limit": 1}
        if total := lists.list_tasks(query).total:
            found["others"] = total.number
    return jsonify(found)


def render_list(page: Page | None, **variables: Any) -> str:
    """Return the list's page, or with None a page without a list, for an invalid query."""
    filters = queries.filters() if request.method == "GET" else []
    sort = request.args.get("sort") or DEFAULT_SORT
    following = None
    if page and page.next:
        others = query_without_cursor(request)
        following = f"?{others}&cursor={page.next}" if others else f"?cursor={page.next}"
    return render_template(
        "list.html",
        tasks=[json.loads(task) for task in page.rows] if page else [],
        total=page.total if page else None,
        following=following,
        beyond_first="cursor" in request.args,
        views=views(filters),
        filters=filters,
        search=write_search(filters),
        query=urlencode(filters + queries.order()),
        filter_query=urlencode(filters),
        sort=sort,
        sorts=SORTS
        if sort in SORTS or sort.lstrip("-") not in SORT_COLUMNS
        else {**SORTS, sort: sort},
        **variables,
    )


def views(filters: Sequence[tuple[str, str]]) -> list[tuple[str, str, bool]]:
    """Return the name and the query of each view that is at hand, and whether it is this one."""
    overdue = (*UNFINISHED, ("due_before", queries.today().isoformat()))
    named = {
        "All": (),
        "Open": UNFINISHED,
        "Overdue": overdue,
        "No date": (*UNFINISHED, ("due", "none")),
        "Done": (("status", "done"),),
    }
    return [
        (name, urlencode([*pairs, *queries.order()]), sorted(pairs) == sorted(filters))
        for name, pairs in named.items()
    ]
