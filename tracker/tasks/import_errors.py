"""Expected failures of imports."""

from http import HTTPStatus
from typing import Any

from ..errors import TrackerError


class InvalidRecords(TrackerError):
    """Nothing is imported, because of invalid records; `members` of the response name them."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    reason = "invalid_records"

    def __init__(self, message: str, members: dict[str, Any]) -> None:
        super().__init__(message)
        self.members = members


class TooManyRecords(TrackerError):
    """The body has more records than an import may have."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    reason = "too_many_records"


class TasksExist(TrackerError):
    """Tasks can be restored only where there are none."""

    status = HTTPStatus.PRECONDITION_FAILED
    reason = "tasks_exist"


class ImportInProgress(TrackerError):
    """Another request is importing tasks."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    reason = "import_in_progress"
