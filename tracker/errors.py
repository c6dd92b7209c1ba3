"""The errors that the service expects, and their one mapping to HTTP."""

import logging
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, jsonify
from werkzeug.exceptions import HTTPException

logger = logging.getLogger(__name__)


class TrackerError(Exception):
    """An expected failure. `str()` of it is safe to show to a client."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after

    @property
    def errors(self) -> dict[str, Any] | None:
        """What is wrong with the request, by location and field."""
        return None

    @property
    def headers(self) -> dict[str, str]:
        """What the answer tells in headers."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class TaskNotFound(TrackerError):
    """No task has this id."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, task_id: int, why: str = "") -> None:
        super().__init__(f"There is no task {task_id}{why}.")


class PreconditionFailed(TrackerError):
    """The task is not in the state that the client's If-Match names."""

    status = HTTPStatus.PRECONDITION_FAILED

    def __init__(self, etag: str) -> None:
        super().__init__("The task has changed since you read it; read it again.")
        self._etag = etag

    @property
    def headers(self) -> dict[str, str]:
        return {"ETag": self._etag}


class KeyUsed(TrackerError):
    """The Idempotency-Key belongs to a request with another body."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    @property
    def errors(self) -> dict[str, Any]:
        return {"headers": {"Idempotency-Key": [str(self)]}}


class KeyBusy(TrackerError):
    """The request that first brought this Idempotency-Key is still at work."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class GitHubError(TrackerError):
    """GitHub did not give a repository's metadata."""


class RepositoryUnavailable(GitHubError):
    """GitHub answered, and there is no such repository for us: the user can mend it."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    @property
    def errors(self) -> dict[str, Any]:
        return {"json": {"repository": [str(self)]}}


class GitHubFailed(GitHubError):
    """GitHub could not be reached, answered nonsense, or rejected our token."""

    status = HTTPStatus.BAD_GATEWAY


class TokenRejected(GitHubFailed):
    """GitHub does not know our token; no earlier answer may hide that."""


class GitHubRateLimited(GitHubError):
    """GitHub's rate limit is used up; `retry_after` says for how many seconds."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class GitHubTimeout(GitHubError):
    """GitHub did not answer within `GITHUB_TIMEOUT`."""

    status = HTTPStatus.GATEWAY_TIMEOUT


class GitHubBusy(GitHubError):
    """So many requests wait for GitHub that this one must not."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class DatabaseUnavailable(TrackerError):
    """PostgreSQL can't serve this request now."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL can't run; the message says why and what to do."""


# What to do about the errors that werkzeug and webargs raise by themselves.
_MESSAGES = {
    404: "There is nothing at this path; /docs shows what there is.",
    405: "This path does not take this method; see Allow.",
    413: "The body is too large; it may have 256 KiB.",
    422: "The request has invalid fields; see errors.",
    500: "Something went wrong here; the log tells more under this X-Request-ID.",
}


def init_app(app: Flask) -> None:
    """Answer each TrackerError with its status, in the one JSON shape."""
    app.register_error_handler(TrackerError, _handle_tracker_error)


def _handle_tracker_error(error: TrackerError) -> Response:
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("%s", describe(error))
    response = _answer(error.status, str(error), error.errors)
    response.headers.extend(error.headers)
    return response


def answer_http_exception(error: HTTPException) -> Response:
    """Answer one of werkzeug's or webargs's errors in the one JSON shape, keeping its headers."""
    data = getattr(error, "data", {})
    errors = data.get("errors") or data.get("messages")
    status = HTTPStatus(error.code or 500)
    message = data.get("message") or _MESSAGES.get(status) or error.description
    response = _answer(status, message or status.description, errors)
    response.headers.extend(
        (name, value) for name, value in error.get_headers() if name != "Content-Type"
    )
    response.headers.extend(data.get("headers") or {})
    return response


def _answer(status: HTTPStatus, message: str, errors: Any) -> Response:
    body: dict[str, Any] = {"code": status, "status": status.phrase, "message": message}
    if errors:
        body["errors"] = errors
    response = jsonify(body)
    response.status_code = status
    return response


def describe(error: BaseException) -> str:
    """Tell an error and what caused it in one line, for the log alone."""
    parts = [f"{type(error).__name__}: {error}"]
    while error := error.__cause__:  # type: ignore[assignment]
        parts.append(f"{type(error).__name__}: {error}")
    return " <- ".join(parts)
