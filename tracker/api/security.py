"""Who may ask, from where, and what every answer tells a browser to refuse."""

import hmac
from functools import lru_cache, partial
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, request
from flask_smorest import abort

from tracker.config import Settings

POLICY = "Content-Security-Policy"
DEFAULT_POLICY = (POLICY, "default-src 'none'; frame-ancestors 'none'")
HEADERS = [
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
]
HOSTS_REMEMBERED = 100  # Host headers of which the answer is known
SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


def init_app(app: Flask, settings: Settings) -> None:
    """Check each request before its view, and add the headers to every answer."""
    hosts = settings.hosts
    trusted = lru_cache(HOSTS_REMEMBERED)(partial(_is_trusted, hosts or []))

    @app.before_request
    def check() -> None:
        sent = request._get_current_object()  # type: ignore[attr-defined]
        if hosts and not trusted(sent.host):
            abort(400, message="This host is not in TRUSTED_HOSTS.")
        if sent.method not in SAFE_METHODS:
            _check_site()
        if settings.api_token and sent.blueprint == "tasks":
            _check_token(settings.api_token)

    app.wsgi_app = _protected(app.wsgi_app)  # type: ignore[method-assign]


def _protected(wsgi_app: Any) -> Any:
    """Have every answer carry the headers; in WSGI, where they are a list and need no checks."""

    def protected(environ: Any, start_response: Any) -> Any:
        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            if POLICY not in dict(headers):
                headers.append(DEFAULT_POLICY)
            return start_response(status, headers + HEADERS, *exc_info)

        return wsgi_app(environ, start)

    return protected


def _is_trusted(hosts: list[str], header: str) -> bool:
    """Tell whether a Host header names one of the hosts, or something below one with a dot."""
    # Not Flask's own TRUSTED_HOSTS: it can trust no IPv6 address, and minds the letter case.
    try:
        name = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    return any(name == host or (host[0] == "." and f".{name}".endswith(host)) for host in hosts)


def _check_site() -> None:
    """Refuse what a browser sends for a page that is not ours.

    https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
    """
    if request.headers.get("Sec-Fetch-Site", "none") not in {"same-origin", "none"}:
        abort(403, message="A page of another site may not change anything here.")


def _check_token(token: str) -> None:
    scheme, _, sent = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not sent:
        _refuse("Send the API_TOKEN: Authorization: Bearer TOKEN.", "")
    if not hmac.compare_digest(sent.strip().encode(), token.encode()):
        _refuse("This is not the API_TOKEN.", ', error="invalid_token"')


def _refuse(message: str, error: str) -> None:
    challenge = f'Bearer realm="tasks"{error}'  # RFC 6750, section 3
    abort(401, message=message, headers={"WWW-Authenticate": challenge})
