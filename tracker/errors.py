"""Expected failures; tracker/api/refusals.py has those of HTTP alone.

* TrackerError
  * TaskNotFound
  * NoTasksOnRepository
  * PreconditionFailed
  * UnexpectedMatches
  * TooManyTags
  * SearchTooBroad
  * IdempotencyKeyReused
  * IdempotencyKeyInProgress
  * DatabaseUnavailable
    * ConnectionLost
    * TransactionConflict
    * DatabasePoolExhausted
    * DatabaseTimeout
    * DatabaseSchemaOutdated
    * TooManySearches
    * TooManyExports
  * GitHubError
    * RepositoryUnavailable
      * RepositoryForbidden
      * RepositoryBlocked
    * GitHubFailed
      * GitHubUnreachable
      * GitHubResponseUnusable
      * GitHubTokenRejected
        * GitHubTokenRequired
    * GitHubRateLimited
    * GitHubTimeout
* EmbeddedPostgresError
"""

from http import HTTPStatus
from typing import Any


class TrackerError(Exception):
    """An expected failure of a request; `str()` of it may be shown to the client.

    `reason` is the stable word by which programs know the failure. `headers` are the response's.
    `part` is the location and the name of the request's invalid part, if there is only one.
    """

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    reason = "internal_error"
    part: tuple[str, str] | None = None

    def __init__(
        self, message: str, *, retry_after: int | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after  # seconds
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)

    @property
    def errors(self) -> dict[str, Any] | None:
        """Invalid parts of the request, by location and field."""
        return {self.part[0]: {self.part[1]: [str(self)]}} if self.part else None


class TaskNotFound(TrackerError):
    """No task has this id."""

    status = HTTPStatus.NOT_FOUND
    reason = "not_found"

    def __init__(self, task_id: int | str, detail: str = "") -> None:
        super().__init__(f"Task {task_id} does not exist{detail}.")


class NoTasksOnRepository(TrackerError):
    """No task is on this repository."""

    status = HTTPStatus.NOT_FOUND
    reason = "no_tasks_on_repository"


class PreconditionFailed(TrackerError):
    """The task's version is none of those in If-Match."""

    status = HTTPStatus.PRECONDITION_FAILED
    reason = "precondition_failed"

    def __init__(self, etag: str) -> None:
        message = "The task has changed since you read it; read it again."
        super().__init__(message, headers={"ETag": etag})


class UnexpectedMatches(TrackerError):
    """The filters select another number of tasks than the client expects."""

    status = HTTPStatus.PRECONDITION_FAILED
    reason = "unexpected_matches"


class TooManyTags(TrackerError):
    """A change of many tasks would add more tags to some of them than a task may have."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    reason = "too_many_tags"
    part = ("json", "add_tags")


class SearchTooBroad(TrackerError):
    """PostgreSQL did not finish the search in the time that a statement may take."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    reason = "search_too_broad"
    part = ("query", "q")


class IdempotencyKeyReused(TrackerError):
    """An earlier request used this Idempotency-Key with another body."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    reason = "idempotency_key_reused"
    part = ("headers", "Idempotency-Key")


class IdempotencyKeyInProgress(TrackerError):
    """Another request with this Idempotency-Key has not finished."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    reason = "idempotency_key_in_progress"


class DatabaseUnavailable(TrackerError):
    """PostgreSQL cannot execute the statements now."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    reason = "database_unavailable"


class ConnectionLost(DatabaseUnavailable):
    """The database connection broke while a statement was running."""

    reason = "database_connection_lost"


class TransactionConflict(DatabaseUnavailable):
    """PostgreSQL undid the transaction because of another one."""

    reason = "database_conflict"


class DatabasePoolExhausted(DatabaseUnavailable):
    """Other requests use all connections to the database."""

    reason = "database_pool_exhausted"


class DatabaseTimeout(DatabaseUnavailable):
    """PostgreSQL did not execute the statement, or get its locks, in time."""

    reason = "database_timeout"


class DatabaseSchemaOutdated(DatabaseUnavailable):
    """The database lacks migrations that this code needs."""

    reason = "database_schema_outdated"


class TooManySearches(DatabaseUnavailable):
    """Other requests use all slots for searches."""

    reason = "too_many_searches"


class TooManyExports(DatabaseUnavailable):
    """Other requests use all slots for exports."""

    reason = "too_many_exports"


class GitHubError(TrackerError):
    """GitHub did not return the repository's metadata."""

    reason = "github_failed"


class RepositoryUnavailable(GitHubError):
    """The repository does not exist, is not visible to our token, or is blocked."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    reason = "repository_not_found"
    part = ("json", "repository")


class RepositoryForbidden(RepositoryUnavailable):
    """GitHub forbids access to the repository."""

    reason = "repository_forbidden"


class RepositoryBlocked(RepositoryUnavailable):
    """GitHub has blocked the repository."""

    reason = "repository_blocked"


class GitHubFailed(GitHubError):
    """GitHub could not be reached or returned an unusable response."""

    status = HTTPStatus.BAD_GATEWAY


class GitHubUnreachable(GitHubFailed):
    """No connection to GitHub can be opened, or it broke."""

    reason = "github_unreachable"


class GitHubResponseUnusable(GitHubFailed):
    """GitHub, or a proxy on the way, sent something else than metadata or a refusal."""

    reason = "github_response_unusable"


class GitHubTokenRejected(GitHubFailed):
    """GitHub rejected our token; a cached response must not hide that."""

    reason = "github_token_rejected"


class GitHubTokenRequired(GitHubTokenRejected):
    """GitHub requires a token, and GITHUB_TOKEN is not set."""

    reason = "github_token_required"


class GitHubRateLimited(GitHubError):
    """GitHub's rate limit is used up for `retry_after` seconds."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    reason = "github_rate_limited"


class GitHubTimeout(GitHubError):
    """GitHub did not respond within `GITHUB_TIMEOUT`."""

    status = HTTPStatus.GATEWAY_TIMEOUT
    reason = "github_timeout"


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot run; the message says why and how to fix it."""
