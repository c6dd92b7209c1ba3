"""Access: which hosts, sites and tokens are accepted, and the security headers."""

import hmac
import ipaddress
import json
import re
import socket
from collections.abc import Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, request

from ..config import Settings
from . import session
from .refusals import CrossSiteRequest, HostNotTrusted, TokenMissing, TokenWrong

POLICY = "Content-Security-Policy"
DEFAULT_POLICY = (POLICY, "default-src 'none'; frame-ancestors 'none'")
CACHING = "Cache-Control"
# Most responses change at any time and have no ETag. A view with a better rule sets it itself.
DEFAULT_CACHING = (CACHING, "no-store")
HEADERS = [
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "same-origin"),  # with no-referrer, a form sends `Origin: null`
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
]
HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]*)?")
HOST_SHOWN_MAX = 100  # characters of a host in an error
PUBLIC_BLUEPRINTS = {"health", "docs", "api-docs"}  # need no token
PUBLIC_ENDPOINTS = {"web.login_page", "web.log_in", "web.static_file"}
CROSS_SITE = "Requests from pages of other sites are refused."
# Endpoints to which another site may navigate
PAGES = {"docs.page", "web.list_page", "web.task_page", "web.help_page", "web.login_page"}
PAGES |= {"web.repositories_page", "web.repository_page", "web.changes_page", "web.import_page"}


def init_app(app: Flask, settings: Settings) -> None:
    """Check each request before its view, and add the security headers to every response."""
    host_is_trusted = lru_cache(maxsize=100)(HostCheck(settings))

    @app.before_request
    def check_access() -> None:
        host = request.environ.get("HTTP_HOST", "")
        # A health check may send any name, such as a container's, and reveals nothing.
        if request.blueprint != "health" and not host_is_trusted(host):
            raise HostNotTrusted(untrusted(host))
        check_site()
        if settings.api_token and not is_public():
            check_login(settings.api_tokens)

    app.wsgi_app = SecurityHeaders(app.wsgi_app)  # type: ignore[method-assign]


class SecurityHeaders:
    """WSGI middleware that adds the security headers and Cache-Control, to errors too."""

    def __init__(self, wsgi_app: Any) -> None:
        self._wsgi_app = wsgi_app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Call the application."""

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            given = dict(headers)
            if POLICY not in given:
                headers.append(DEFAULT_POLICY)
            if CACHING not in given:
                headers.append(DEFAULT_CACHING)
            return start_response(status, headers + HEADERS, *exc_info)

        return self._wsgi_app(environ, start)


class HostCheck:
    """Check of the Host header.

    A page of another site can have its own name resolve to this machine (DNS rebinding), and
    the browser would let it read our responses. Such a name is never an IP address, `localhost`
    or this machine's name; TRUSTED_HOSTS adds others, or with a leading dot all names below one.
    """

    def __init__(self, settings: Settings) -> None:
        machine = {"localhost", socket.gethostname().lower(), settings.host.lower()}
        self._hosts = (*machine, *settings.trusted_hosts)

    def __call__(self, header: str) -> bool:
        """Return whether the header names a trusted host."""
        if not (found := HOST.fullmatch(header)):
            return False
        name = found[1].strip("[]").lower().removesuffix(".")  # of a fully qualified name
        return _is_address(name) or any(
            name == host or (host[0] == "." and f".{name}".endswith(host)) for host in self._hosts
        )


def untrusted(header: str) -> str:
    """Return the message for a Host header that names no trusted host."""
    shown = json.dumps(header[:HOST_SHOWN_MAX])
    if not (found := HOST.fullmatch(header)):
        return f"Host {shown} is not a host name; send the name of this service."
    added = f'"{found[1][:HOST_SHOWN_MAX]}"' if found[2] else "it"  # without the port
    return (
        f"Host {shown} is not trusted; add {added} to TRUSTED_HOSTS, "
        "or configure the proxy to send the client's Host."
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def is_public() -> bool:
    """Return whether the request needs no token."""
    return request.blueprint in PUBLIC_BLUEPRINTS or request.endpoint in PUBLIC_ENDPOINTS


def check_site() -> None:
    """Refuse requests that a browser sends for a page of another site, reads too.

    https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site

    Over plain HTTP browsers send that header to loopback only; elsewhere Origin is checked.
    """
    environ = request.environ  # every request is checked: its headers would take ten times as long
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is None:
        origin = environ.get("HTTP_ORIGIN")
        if origin is not None and _authority(origin) != request.host.lower():
            raise CrossSiteRequest(CROSS_SITE)
    elif site not in {"same-origin", "none"} and not _is_navigation_to_page():
        raise CrossSiteRequest(CROSS_SITE)


def _authority(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _is_navigation_to_page() -> bool:
    return (
        request.method == "GET"
        and request.endpoint in PAGES
        and request.headers.get("Sec-Fetch-Mode") == "navigate"
        and request.headers.get("Sec-Fetch-Dest") == "document"
    )


def check_login(tokens: Sequence[str]) -> None:
    """Abort with 401 unless the request has one of the tokens, or the page's cookie for one."""
    if "Authorization" not in request.headers and session.is_valid(tokens):
        session.check_same_origin()
    else:
        check_token(tokens)


def check_token(tokens: Sequence[str]) -> None:
    """Abort with 401 unless the request has one of the bearer tokens (RFC 6750)."""
    scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not sent:
        _refuse("API_TOKEN is required; send Authorization: Bearer TOKEN.", "")
    given = sent.strip().encode()
    if find_token(given, tokens) is None:
        _refuse(
            "The bearer token is wrong; send one of those in API_TOKEN.", ', error="invalid_token"'
        )


def find_token(given: bytes, tokens: Sequence[str]) -> str | None:
    """Return the token that is given, or None.

    It is compared with each of them, so that the time does not tell which one was sent.
    """
    found = [token for token in tokens if hmac.compare_digest(given, token.encode())]
    return found[0] if found else None


def _refuse(message: str, error: str) -> None:
    kind = TokenWrong if error else TokenMissing
    raise kind(message, headers={"WWW-Authenticate": f'Bearer realm="tasks"{error}'})
