"""The ways in which operations fail, each with an example, for the OpenAPI document."""

from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import flask_smorest

from .. import errors as kinds
from ..database.errors import SCHEMA_OUTDATED, UNREACHABLE
from . import refusals
from .error_handlers import MESSAGES, ErrorSchema


@dataclass(frozen=True)
class Failure:
    """A way to fail: its kind, its description, and the response of one that happened.

    The kind is the class of the exception, or the status of an error that has none.
    """

    kind: type[kinds.TrackerError] | int
    description: str
    message: str
    errors: dict[str, Any] | None = None
    members: dict[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> HTTPStatus:
        """Status of the response."""
        return HTTPStatus(self.kind if isinstance(self.kind, int) else self.kind.status)

    @property
    def example(self) -> dict[str, Any]:
        """The response as JSON."""
        kind = self.kind
        body = {
            "code": self.status,
            "status": self.status.phrase,
            "reason": refusals.http_reason(kind) if isinstance(kind, int) else kind.reason,
            "message": self.message,
            **self.members,
        }
        part = None if isinstance(kind, int) else kind.part
        errors = {part[0]: {part[1]: [self.message]}} if part else self.errors
        return {**body, "errors": errors} if errors else body


def invalid(description: str, location: str, name: str, message: str) -> Failure:
    """Return the failure of a request with an invalid part."""
    return Failure(422, description, MESSAGES[422], {location: {name: [message]}})


FAILURES = {
    "malformed_request": Failure(
        400, "The request breaks a rule of HTTP.", "Request could not be parsed."
    ),
    "host_not_trusted": Failure(
        refusals.HostNotTrusted,
        "The host is not trusted.",
        'Host "tracker.example" is not trusted; add it to TRUSTED_HOSTS, '
        "or configure the proxy to send the client's Host.",
    ),
    "malformed_query": Failure(
        refusals.MalformedQuery,
        "The query is malformed.",
        "Query string must be percent-encoded UTF-8.",
    ),
    "malformed_json": Failure(
        refusals.MalformedJSON,
        "The body is not valid JSON.",
        "Request body is not valid JSON: Expecting value: line 1 column 1 (char 0).",
    ),
    "token_missing": Failure(
        refusals.TokenMissing,
        "The bearer token is missing.",
        "API_TOKEN is required; send Authorization: Bearer TOKEN.",
    ),
    "token_wrong": Failure(
        refusals.TokenWrong,
        "The bearer token is wrong.",
        "The bearer token is wrong; send one of those in API_TOKEN.",
    ),
    "cross_site_request": Failure(
        refusals.CrossSiteRequest,
        "A browser sent the request for a page of another site.",
        "Requests from pages of other sites are refused.",
    ),
    "task_not_found": Failure(
        kinds.TaskNotFound, "The task does not exist.", "Task 1 does not exist."
    ),
    "no_tasks_on_repository": Failure(
        kinds.NoTasksOnRepository,
        "No task is on the repository.",
        "No task is on the repository pallets/flask.",
    ),
    "created_task_deleted": Failure(
        kinds.TaskNotFound,
        "An earlier request with the Idempotency-Key created a task, which has been deleted.",
        "Task 1 does not exist: it was created with this key, and deleted; use a new key.",
    ),
    "precondition_failed": Failure(
        kinds.PreconditionFailed,
        "The task's version is none of those in If-Match; `ETag` has the current one.",
        "The task has changed since you read it; read it again.",
    ),
    "unexpected_matches": Failure(
        kinds.UnexpectedMatches,
        "The filters select another number of tasks than `expect`.",
        "Number of selected tasks is 1, not 2; list them again.",
    ),
    "body_too_large": Failure(413, "The body exceeds 256 KiB.", MESSAGES[413]),
    "media_type_not_supported": Failure(
        refusals.MediaTypeNotSupported,
        "The body is not declared as JSON.",
        "Request body must be JSON, with Content-Type: application/json.",
    ),
    "patch_type_not_supported": Failure(
        refusals.MediaTypeNotSupported,
        "The body is not declared as JSON or as a merge patch; `Accept-Patch` has both types.",
        "Request body must be a JSON merge patch, with Content-Type: application/json.",
    ),
    "invalid_query": invalid(
        "A parameter is invalid or unknown.",
        "query",
        "status",
        "Must be one of: open, in_progress, done.",
    ),
    "invalid_if_match": invalid(
        "If-Match has something else than ETags of a task.",
        "headers",
        "If-Match",
        'Takes ETags of a task, such as "3", or *.',
    ),
    "invalid_body": invalid(
        "A field of the body is invalid or unknown.",
        "json",
        "title",
        "Length must be between 1 and 200.",
    ),
    "too_many_tags": Failure(
        kinds.TooManyTags,
        "Tasks would have more tags than a task may have.",
        "Selected tasks would have more than 20 tags; remove some of theirs.",
    ),
    "search_too_broad": Failure(
        kinds.SearchTooBroad,
        "The search has not finished in 5 seconds.",
        "Search takes longer than 5 seconds; add a rarer word or another filter.",
    ),
    "repository_not_found": Failure(
        kinds.RepositoryUnavailable,
        "The repository is not on GitHub, is not visible to the service's token, or is blocked.",
        "nobody/nothing does not exist on GitHub, or is private and needs a token; "
        "set GITHUB_TOKEN.",
    ),
    "idempotency_key_reused": Failure(
        kinds.IdempotencyKeyReused,
        "An earlier request used the Idempotency-Key with another body.",
        "Idempotency-Key was used with another body; use a new key.",
    ),
    "internal_error": Failure(
        500, "The service has a bug; the log has details under the request's ID.", MESSAGES[500]
    ),
    "github_failed": Failure(
        kinds.GitHubFailed,
        "GitHub cannot be reached, failed, or sent an unusable response.",
        "GitHub failed with status 503; try again later.",
    ),
    "github_token_rejected": Failure(
        kinds.GitHubTokenRejected,
        "GitHub rejected the service's token, or requires one.",
        "GitHub rejected our token; check GITHUB_TOKEN.",
    ),
    "database_unavailable": Failure(
        kinds.DatabaseUnavailable, "The database is unavailable or busy.", UNREACHABLE
    ),
    "database_schema_outdated": Failure(
        kinds.DatabaseSchemaOutdated, "The database's schema is not current.", SCHEMA_OUTDATED
    ),
    "too_many_exports": Failure(
        kinds.TooManyExports,
        "Two other exports are running.",
        "Too many exports at a time; try again.",
    ),
    "github_rate_limited": Failure(
        kinds.GitHubRateLimited,
        "GitHub limits our requests.",
        "GitHub limits our requests; try again later. A GITHUB_TOKEN raises the hourly limit.",
    ),
    "idempotency_key_in_progress": Failure(
        kinds.IdempotencyKeyInProgress,
        "Another request with the Idempotency-Key has not finished.",
        "Another request with this Idempotency-Key has not finished; try again.",
    ),
    "github_timeout": Failure(
        kinds.GitHubTimeout,
        "GitHub did not respond in time.",
        "GitHub did not respond within 10 seconds.",
    ),
}

# Response headers, by the status or the name of the failure.
FAILURE_HEADERS: dict[int | str, str] = {
    401: "WWW-Authenticate",
    503: "Retry-After",
    "precondition_failed": "ETag",
    "patch_type_not_supported": "Accept-Patch",
}

# Failures of operations of one kind.
EVERY = ("malformed_request", "cross_site_request", "internal_error")
REQUEST = (  # not of health checks
    "host_not_trusted",
    "token_missing",
    "token_wrong",
    "malformed_query",
    "invalid_query",
)
DATABASE = ("database_unavailable", "database_schema_outdated")
TASK = (*REQUEST, *DATABASE, "task_not_found")
CONDITION = ("precondition_failed", "invalid_if_match")
JSON_BODY = ("malformed_json", "body_too_large", "invalid_body")
GITHUB = ("github_failed", "github_token_rejected", "github_rate_limited", "github_timeout")


def errors(*names: str) -> Callable[[Any], Any]:
    """Declare the failures of a view, on top of those of every view."""
    by_status: dict[int, list[str]] = {}
    for name, failure in FAILURES.items():
        if name in {*EVERY, *names}:
            by_status.setdefault(failure.status, []).append(name)
    responses = {status: error_content(status, found) for status, found in by_status.items()}
    decorator: Callable[[Any], Any] = flask_smorest.Blueprint.doc(responses=responses)
    return decorator


def error_content(status: int, names: list[str]) -> dict[str, Any]:
    """Return the response of failures with this status, as OpenAPI describes it."""
    headers = [FAILURE_HEADERS[key] for key in (status, *names) if key in FAILURE_HEADERS]
    bullet = "- " if len(names) > 1 else ""
    return {
        "description": "\n".join(bullet + FAILURES[name].description for name in names),
        "headers": {header: header for header in headers},
        "content": {
            "application/json": {"schema": ErrorSchema, "examples": {name: name for name in names}}
        },
    }
