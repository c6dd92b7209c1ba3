"""URLs: what a proxy says about them, and redirects from paths with further slashes."""

import re
from collections.abc import Collection
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, request, url_for
from werkzeug.routing import RequestRedirect, Rule

from .parsing import query_without_cursor

PREFIX = re.compile(r"(/[\w.-]+)+", re.ASCII)


def init_app(app: Flask) -> None:
    """Redirect `/tasks/2/` and `/tasks//2` to `/tasks/2`, and so on for each path that is served.

    The rule without the slash matches both, so that both have the same checks of access.
    """
    app.url_map.strict_slashes = False

    @app.before_request
    def redirect_to_path_without_further_slashes() -> Response | None:
        found = request.routing_exception or request.url_rule
        if isinstance(found, RequestRedirect):  # of slashes that are repeated
            location = urlsplit(found.new_url).path
        elif isinstance(found, Rule) and request.path.endswith("/") and found.rule[-1:] != "/":
            location = url_for(found.endpoint, **(request.view_args or {})).rstrip("/")
        else:
            return None
        if query := request.environ["QUERY_STRING"]:
            location += f"?{query}"
        return empty_response(308, {"Location": location})


def empty_response(status: int, headers: dict[str, str] | None = None) -> Response:
    """Return a response without a body, and so without a Content-Type."""
    response = Response(status=status, headers=headers)
    del response.headers["Content-Type"]
    return response


def page_links(following: Any) -> dict[str, str]:
    """Return the `Link` header of a page of a list, unless it is the only one.

    It has the URL of the first page, and that of the next one if there is a cursor for it.
    """
    others = query_without_cursor(request)
    links = {"next": "&".join(filter(None, [others, f"cursor={following}"]))} if following else {}
    if not links and not request.args.get("cursor"):
        return {}
    links["first"] = others
    # Not request.base_url, which is an IRI: no header may contain one.
    here = f"{request.scheme}://{request.host}{request.script_root}{request.path}"
    urls = {relation: f"{here}?{query}".rstrip("?") for relation, query in links.items()}
    return {"Link": ", ".join(f'<{url}>; rel="{relation}"' for relation, url in urls.items())}


def without_ipv4_mapping(peer: Any) -> Any:
    """Return a peer's address, without the `::ffff:` of an IPv4 address on an IPv6 socket."""
    if isinstance(peer, tuple):
        return (peer[0].removeprefix("::ffff:"), *peer[1:])
    return peer


class ForwardedHeaders:
    """WSGI middleware that applies X-Forwarded-For, -Host, -Prefix and -Proto of the named proxies.

    gunicorn takes X-Forwarded-Proto for http if it is a list or in capital letters. `*` and
    `0.0.0.0/0` name no proxy, so X-Forwarded-Host is ignored with them: a page whose own name
    resolves to this machine (DNS rebinding) could send a host that is trusted.

    Args:
        proxies: addresses and networks of proxies, or `*`; gunicorn's `forwarded_allow_ips`.
    """

    def __init__(self, wsgi_app: Any, proxies: Collection[str]) -> None:
        self._wsgi_app = wsgi_app
        networks = [ip_network(proxy) for proxy in proxies if proxy != "*"]
        self._networks = [network for network in networks if network.prefixlen]
        self._everyone = len(self._networks) < len(proxies)
        self._is_named = lru_cache(maxsize=1_000)(self._find)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Call the application."""
        named = self._is_named(environ["REMOTE_ADDR"])
        if named or self._everyone:
            hosts: str = environ.get("HTTP_X_FORWARDED_HOST", "") if named else ""
            if host := hosts.rpartition(",")[2].strip():  # the nearest proxy's
                environ["HTTP_HOST"] = host
            scheme = environ.get("HTTP_X_FORWARDED_PROTO", "").rpartition(",")[2].strip().lower()
            if scheme in {"http", "https"}:
                environ["wsgi.url_scheme"] = scheme
            prefix = environ.get("HTTP_X_FORWARDED_PREFIX", "").rstrip("/")
            if PREFIX.fullmatch(prefix):
                environ["SCRIPT_NAME"] = prefix
            if client := self._client(environ):
                environ["REMOTE_ADDR"] = client
        return self._wsgi_app(environ, start_response)

    def _find(self, peer: str) -> bool:
        """Return whether the peer is one of the named proxies."""
        if not peer:  # a Unix socket has none; its file's permissions decide who can connect
            return True
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def _client(self, environ: dict[str, Any]) -> str:
        """Return the last address before the named proxies; only a proxy's word counts."""
        header: str = environ.get("HTTP_X_FORWARDED_FOR", "")
        addresses = [address.strip() for address in header.split(",")]
        while len(addresses) > 1 and self._is_named(addresses[-1]):
            addresses.pop()
        return addresses[-1]
