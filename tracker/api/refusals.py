"""Refusals of requests that break a rule of HTTP or of access, and the list of all reasons."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from gunicorn.http.errors import InvalidSchemeHeaders

from ..errors import TrackerError
from ..tasks import import_errors  # noqa: F401  they have reasons, too

# The `reason` of errors that werkzeug, webargs and gunicorn raise themselves, by status.
HTTP_REASONS = {
    400: "malformed_request",
    404: "path_not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    414: "uri_too_long",
    417: "expectation_failed",
    422: "invalid",
    431: "headers_too_large",
    500: "internal_error",
    501: "transfer_coding_not_supported",
}

# Messages for errors that gunicorn finds before it calls us.
GUNICORN_MESSAGES = {
    414: "Request line exceeds the 18 KiB limit; send fewer parameters.",
    417: "Header Expect supports 100-continue only; remove it.",
    431: "Request has more than 100 headers, or one over 8 KiB; send fewer or shorter ones.",
}
SCHEMES_CONTRADICT = (
    "Headers contradict each other about the scheme; the proxy must send one of "
    "X-Forwarded-Proto, X-Forwarded-Protocol and X-Forwarded-Ssl, once, and remove the others."
)


class RequestRefused(TrackerError):
    """The request is malformed, or its sender has no access."""

    status = HTTPStatus.BAD_REQUEST
    reason = HTTP_REASONS[400]


class MalformedJSON(RequestRefused):
    """The body is not JSON as RFC 8259 has it."""

    reason = "malformed_json"


class MalformedBody(RequestRefused):
    """The body can't be read to its end."""

    reason = "malformed_body"


class BodyTooLarge(RequestRefused):
    """The body is larger than an import may be."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    reason = HTTP_REASONS[413]


class MalformedQuery(RequestRefused):
    """The query string is not percent-encoded UTF-8."""

    reason = "malformed_query"


class HostNotTrusted(RequestRefused):
    """The Host header names neither this machine nor one of TRUSTED_HOSTS."""

    reason = "host_not_trusted"


class SchemesContradict(RequestRefused):
    """The headers of a proxy name two schemes."""

    reason = "schemes_contradict"


class TokenMissing(RequestRefused):
    """The request has no bearer token."""

    status = HTTPStatus.UNAUTHORIZED
    reason = "token_missing"


class TokenWrong(RequestRefused):
    """The bearer token is not valid."""

    status = HTTPStatus.UNAUTHORIZED
    reason = "token_wrong"


class CrossSiteRequest(RequestRefused):
    """The request comes from a page of another site."""

    status = HTTPStatus.FORBIDDEN
    reason = "cross_site_request"


class TooManyLogins(RequestRefused):
    """Too many wrong tokens were sent to the login form."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    reason = "too_many_logins"


class MediaTypeNotSupported(RequestRefused):
    """The body is not declared as JSON."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    reason = "media_type_not_supported"


def http_reason(status: int) -> str:
    """Return the reason of an error that is known by its status alone."""
    return HTTP_REASONS.get(status) or HTTP_REASONS[500 if status >= 500 else 400]


def gunicorn_error(status: HTTPStatus, error: BaseException) -> dict[str, Any]:
    """Return the JSON of an error that gunicorn found in a request before it called us."""
    reason = http_reason(status)
    message = GUNICORN_MESSAGES.get(status) or (
        "Request could not be parsed." if status < 500 else status.description
    )
    if isinstance(error, InvalidSchemeHeaders):
        reason, message = SchemesContradict.reason, SCHEMES_CONTRADICT
    return {"code": status, "status": status.phrase, "reason": reason, "message": message}


def reasons() -> list[str]:
    """Return the `reason` of every error that a client can get."""
    return sorted({*HTTP_REASONS.values(), *(kind.reason for kind in _kinds(TrackerError))})


def _kinds(kind: type[TrackerError]) -> Iterator[type[TrackerError]]:
    yield kind
    for narrower in kind.__subclasses__():
        yield from _kinds(narrower)
