"""Examples in the OpenAPI document; each one works against the demo."""

import json
from datetime import datetime, timezone

from ..tasks.filters import FILTERS
from ..tasks.pagination import Cursor
from ..tasks.repository_filters import REPOSITORY_FILTERS
from ..tasks.repository_pages import RepositoryCursor
from ..tasks.sorting import DEFAULT_SORT
from ..tasks.spreadsheet import COLUMNS, to_row, write_rows

EXAMPLE = {
    "title": "Read how Flask signals errors",
    "description": "Start at `handle_user_exception`.",
    "status": "open",
    "priority": "high",
    "tags": ["reading", "flask"],
    "due_date": "2030-01-31",
    "repository": "pallets/flask",
    "issue": 5000,
}
PATCH_EXAMPLE = {"status": "done"}
TASK_EXAMPLE = {
    "id": 1,
    **EXAMPLE,
    "repository_url": "https://github.com/pallets/flask",
    "issue_url": "https://github.com/pallets/flask/issues/5000",
    "repository_description": "The Python micro framework for building web applications.",
    "stars": 70000,
    "language": "Python",
    "archived": False,
    "pushed_at": "2025-09-14T17:08:05.000000Z",
    "topics": ["flask", "jinja", "pallets", "python", "web-framework", "werkzeug", "wsgi"],
    "license": "BSD-3-Clause",
    "homepage": "https://flask.palletsprojects.com",
    "fork": False,
    "visibility": "public",
    "metadata_status": "current",
    "metadata_fetched_at": "2030-01-01T09:30:00.250000Z",
    "completed_at": None,
    "version": 1,
    "created_at": "2030-01-01T09:30:00.300000Z",
    "updated_at": "2030-01-01T09:30:00.300000Z",
}
PATCHED_EXAMPLE = {
    **TASK_EXAMPLE,
    **PATCH_EXAMPLE,
    "completed_at": "2030-01-01T10:00:00.000000Z",
    "version": 2,
    "updated_at": "2030-01-01T10:00:00.000000Z",
}
BULK_PATCH_EXAMPLE = {"status": "done", "add_tags": ["2030"], "remove_tags": ["reading"]}
COUNTS_EXAMPLE = {"open": 41, "in_progress": 3, "done": 120}
BULK_EXAMPLE = {"matched": 1, "changed": 1}
CHANGE_EXAMPLE = {
    "id": 1,
    "repository": "pallets/flask",
    "kind": "license",
    "before": "BSD-3-Clause",
    "after": "MIT",
    "seen_at": "2030-01-02T09:30:00.250000Z",
    "previously_seen_at": "2030-01-01T09:30:00.250000Z",
}
STARS_EXAMPLE = [{"date": "2030-01-01", "stars": 70000}]
REPOSITORY_EXAMPLE = {
    "name": "pallets/flask",
    "url": "https://github.com/pallets/flask",
    "description": "The Python micro framework for building web applications.",
    **{
        name: TASK_EXAMPLE[name]
        for name in (
            *("stars", "language", "archived", "pushed_at", "topics", "license", "homepage"),
            *("fork", "visibility", "metadata_status", "metadata_fetched_at"),
        )
    },
    "tasks": {"open": 1, "in_progress": 0, "done": 0},
}
RATE_LIMIT_EXAMPLE = {"limit": 5000, "remaining": 4990, "resets_at": "2030-01-01T10:00:00Z"}
JSONL_EXAMPLE = f"{json.dumps(TASK_EXAMPLE, separators=(',', ':'))}\n"
CSV_EXAMPLE = write_rows([COLUMNS, to_row(JSONL_EXAMPLE)])
IMPORT_EXAMPLE = """\
title,repository,tags
Read how Flask signals errors,pallets/flask,reading
Fix the flaky test,https://github.com/psf/requests/issues/5,
"""
IMPORTED_EXAMPLE = {"created": 2, "invalid": [], "more_invalid": []}
METRICS_EXAMPLE = """\
# HELP tracker_http_requests_in_flight Requests whose response has not started.
# TYPE tracker_http_requests_in_flight gauge
tracker_http_requests_in_flight 1.0
"""
HEALTH_EXAMPLE = {"status": "ok"}
PARAMETER_EXAMPLES = {
    "If-Match": '"1"',
    "If-None-Match": '"1"',
    "Idempotency-Key": "nightly-2030-01-01",
    "metadata": "optional",
    **{name: declared.example for name, declared in FILTERS.items()},
    "since": "2026-11-01T00:00:00Z",
    "kind": ["license"],
    "sort": "-stars",
    "limit": 10,
    "cursor": str(Cursor(DEFAULT_SORT, datetime(2030, 1, 1, tzinfo=timezone.utc), 1)),
    "listChanges.cursor": str(Cursor("-seen_at", datetime(2030, 1, 1, tzinfo=timezone.utc), 1)),
    "total": True,
    "expect": 1,
    "by": "status",
    "today": "2030-01-31",
    "fetched_before": REPOSITORY_FILTERS["fetched_before"].example,
    "listRepositories.cursor": str(RepositoryCursor("-stars", 70000, 596892)),
    "ask": True,
    "format": "csv",
    "dry_run": True,
    "skip_invalid": True,
    "restore": False,
}
# Swagger UI prefills these, as it does required parameters: the operations need a filter.
PREFILLED = {"updateTasks": {"tag"}, "deleteTasks": {"tag"}}
