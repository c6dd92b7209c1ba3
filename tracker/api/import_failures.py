"""The ways in which an import fails, beside those that it shares with other operations."""

from ..tasks import import_errors as kinds
from ..tasks.importing import IMPORT_IN_PROGRESS, RECORDS_MAX, TASKS_EXIST
from . import refusals
from .failures import FAILURES, Failure

IMPORT_MAX = 100 * 1024 * 1024  # bytes
IMPORT_MAX_TEXT = f"{IMPORT_MAX >> 20} MiB"
TOO_LARGE = f"Request body exceeds the {IMPORT_MAX_TEXT} limit."
FILE_WANTED = (
    "Request body must be declared as text/plain, or as its format, such as application/jsonl."
)
INVALID_RECORD = {
    "line": 1,
    "errors": {"title": ["Length must be between 1 and 200."]},
    "text": '{"title": "", "repository": "pallets/flask"}',
}

IMPORT_FAILURES = {
    "malformed_array": Failure(
        refusals.MalformedJSON,
        "The body is a JSON array with an error.",
        "Request body is not valid JSON: Expecting value, in element 2.",
    ),
    "tasks_exist": Failure(
        kinds.TasksExist, "Tasks are to be restored, and there are some.", TASKS_EXIST
    ),
    "import_too_large": Failure(
        refusals.BodyTooLarge,
        f"The body exceeds {IMPORT_MAX_TEXT}.",
        TOO_LARGE,
    ),
    "too_many_records": Failure(
        kinds.TooManyRecords,
        "The body has too many records.",
        f"Import exceeds the limit of {RECORDS_MAX:,} records; split it.",
    ),
    "import_type_not_supported": Failure(
        refusals.MediaTypeNotSupported, "The body is not declared as a file.", FILE_WANTED
    ),
    "invalid_records": Failure(
        kinds.InvalidRecords,
        "Nothing is imported, because of invalid records.",
        "Nothing is imported, because of invalid records: 1; see invalid.",
        members={"created": 0, "invalid": [INVALID_RECORD], "more_invalid": []},
    ),
    "import_in_progress": Failure(
        kinds.ImportInProgress, "Another import is in progress.", IMPORT_IN_PROGRESS
    ),
}
FAILURES |= IMPORT_FAILURES  # for `errors` and the OpenAPI document
IMPORT = tuple(IMPORT_FAILURES)
