"""A task's page: everything about it, and the forms to change, refresh and delete it."""

import json
from typing import Any

from flask import redirect, render_template, request, url_for

from ..api.tasks import github
from ..errors import PreconditionFailed, TrackerError
from ..tasks import repositories, service
from ..tasks.loader import read_task
from . import forms
from .blueprint import wants_html, web
from .repositories import read_history


@web.get("/web/tasks/<task:task_id>")
def task_page(task_id: int) -> str:
    """Return the page of a task."""
    return render_task(json.loads(read_task(task_id).json))


@web.post("/web/tasks/<task:task_id>")
def edit_task(task_id: int) -> Any:
    """Change a task, unless it has changed since the form was loaded: then show both versions."""
    fields = forms.read_fields()
    try:
        _, version = forms.read_version(f"{task_id}.{request.form.get('version', '')}")
        service.edit_task(task_id, forms.load(fields), github, [version])
    except PreconditionFailed as error:
        if not wants_html():
            raise
        theirs = json.loads(read_task(task_id).json)
        typed = {**theirs, **fields}
        return render_task(theirs, typed=typed, failure=str(error), conflict=True), error.status
    except TrackerError as error:
        if not wants_html():
            raise
        stored = json.loads(read_task(task_id).json)
        typed = {**stored, **fields, "version": request.form.get("version", "")}
        errors = error.errors or {}
        errors = forms.flat(errors.get("json") or errors.get("form") or {})
        page = render_task(stored, typed=typed, failure=str(error), errors=errors)
        return page, error.status
    return redirect(url_for("web.task_page", task_id=task_id), 303)


@web.post("/web/tasks/<task:task_id>/refresh")
def refresh_task(task_id: int) -> Any:
    """Fetch the metadata of a task's repository."""
    repositories.refresh_task(task_id, github)
    return redirect(url_for("web.task_page", task_id=task_id), 303)


@web.post("/web/tasks/<task:task_id>/delete")
def delete_task(task_id: int) -> Any:
    """Delete a task at the version that the page showed."""
    _, version = forms.read_version(f"{task_id}.{request.form.get('version', '')}")
    service.delete_task(task_id, [version])
    return redirect(url_for("web.list_page"), 303)


def render_task(task: dict[str, Any], **variables: Any) -> str:
    """Return a task's page; `typed` are the values in its form, by default the task's."""
    past = read_history(task["repository"])
    shown = {"typed": task, "errors": {}, **past, **variables}
    return render_template("task.html", task=task, **shown)
