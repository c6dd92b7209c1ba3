"""Expected failures.

* TrackerError
  * TaskNotFound
  * PreconditionFailed
  * IdempotencyKeyReused
  * IdempotencyKeyInProgress
  * DatabaseUnavailable
    * ConnectionLost
    * TransactionConflict
  * GitHubError
    * RepositoryUnavailable
    * GitHubFailed
      * GitHubTokenRejected
    * GitHubRateLimited
    * GitHubTimeout
* EmbeddedPostgresError
"""

from http import HTTPStatus
from typing import Any


class TrackerError(Exception):
    """An expected failure of a request; `str()` of it may be shown to the client."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(self, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds

    @property
    def errors(self) -> dict[str, Any] | None:
        """Invalid parts of the request, by location and field."""
        return None

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the response."""
        return {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}


class TaskNotFound(TrackerError):
    """No task has this id."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self, task_id: int, detail: str = "") -> None:
        super().__init__(f"Task {task_id} does not exist{detail}.")


class PreconditionFailed(TrackerError):
    """The task's version is none of those in If-Match."""

    status = HTTPStatus.PRECONDITION_FAILED

    def __init__(self, etag: str) -> None:
        super().__init__("The task has changed since you read it; read it again.")
        self._etag = etag

    @property
    def headers(self) -> dict[str, str]:
        return {"ETag": self._etag}


class IdempotencyKeyReused(TrackerError):
    """An earlier request used this Idempotency-Key with another body."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    @property
    def errors(self) -> dict[str, Any]:
        return {"headers": {"Idempotency-Key": [str(self)]}}


class IdempotencyKeyInProgress(TrackerError):
    """Another request with this Idempotency-Key has not finished."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class DatabaseUnavailable(TrackerError):
    """PostgreSQL cannot execute the statements now."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class ConnectionLost(DatabaseUnavailable):
    """The database connection broke while a statement was running."""


class TransactionConflict(DatabaseUnavailable):
    """PostgreSQL undid the transaction because of another one."""


class GitHubError(TrackerError):
    """GitHub did not return the repository's metadata."""


class RepositoryUnavailable(GitHubError):
    """The repository does not exist, is not visible to our token, or is blocked."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    @property
    def errors(self) -> dict[str, Any]:
        return {"json": {"repository": [str(self)]}}


class GitHubFailed(GitHubError):
    """GitHub could not be reached or returned an unusable response."""

    status = HTTPStatus.BAD_GATEWAY


class GitHubTokenRejected(GitHubFailed):
    """GitHub rejected our token; a cached response must not hide that."""


class GitHubRateLimited(GitHubError):
    """GitHub's rate limit is used up for `retry_after` seconds."""

    status = HTTPStatus.SERVICE_UNAVAILABLE


class GitHubTimeout(GitHubError):
    """GitHub did not respond within `GITHUB_TIMEOUT`."""

    status = HTTPStatus.GATEWAY_TIMEOUT


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot run; the message says why and how to fix it."""


def describe(error: BaseException) -> str:
    """Return an error and its causes as one line for the log."""
    parts = [f"{type(error).__name__}: {error}"]
    while error := error.__cause__:  # type: ignore[assignment]
        parts.append(f"{type(error).__name__}: {error}")
    return " <- ".join(parts)
