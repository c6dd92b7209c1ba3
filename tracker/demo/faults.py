"""Faults: the ways in which the stand-in for GitHub refuses, fails, or sends unusual documents.

A new fault goes into FAULTS; the repository `faults/NAME` then shows it.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from .documents import DOCS, GET_REPOSITORY, RATE_LIMIT_DOCS, block_body, error_body

FAULTS_OWNER = "faults"  # the repository `faults/NAME` responds with FAULTS[NAME]
NEVER = 24 * 60 * 60.0  # seconds


@dataclass(frozen=True)
class Fault:
    """A response that differs from GitHub's usual one."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)  # X-RateLimit-Reset: seconds from now
    body: bytes | None = None  # in place of the usual body
    padding: int = 0  # bytes of white space after the body
    compressed: bool = False  # with gzip, the padding included
    changes: dict[str, Any] = field(default_factory=dict)  # members of the usual body
    missing: str | tuple[str, ...] | None = None  # members that the usual body lacks
    delay: float = 0.0  # seconds before the response
    drip: float = 0.0  # seconds after each byte of the response, its head included
    cut: bool = False  # the connection closes in the middle of the body
    closed: bool = False  # the connection closes without a response
    by_proxy: bool = False  # a proxy sends it, so it lacks the headers of GitHub


_CALLS_LEFT = {
    "X-RateLimit-Limit": "5000",
    "X-RateLimit-Used": "13",
    "X-RateLimit-Remaining": "4987",
    "X-RateLimit-Reset": "+1800",
}


def _refusal(status: int, message: str, documentation_url: str = DOCS, **headers: str) -> Fault:
    """Create a refusal in GitHub's own words; underscores in header names become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = error_body(status, message, documentation_url)
    return Fault(status, _CALLS_LEFT | named, body)


def _page(status: int, title: str) -> Fault:
    """Create a proxy's HTML page."""
    html = f"<html><head><title>{status} {title}</title></head><body><h1>{title}</h1></body></html>"
    return Fault(
        status, {"Content-Type": "text/html", "Server": "nginx"}, html.encode(), by_proxy=True
    )


_USED_UP = {
    "X_RateLimit_Used": "5000",
    "X_RateLimit_Remaining": "0",
    "X_RateLimit_Reset": "+60",
}
_LIMIT_EXCEEDED = "API rate limit exceeded for user ID 1."
_SECONDARY_LIMIT = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
)
RATE_LIMITS = {
    "403-limit": _refusal(403, _LIMIT_EXCEEDED, RATE_LIMIT_DOCS, **_USED_UP),
    "429-limit": _refusal(429, _LIMIT_EXCEEDED, RATE_LIMIT_DOCS, **_USED_UP),
    "403-secondary": _refusal(403, _SECONDARY_LIMIT, RATE_LIMIT_DOCS),
    "403-abuse": _refusal(  # the secondary rate limit before 2021
        403,
        "You have triggered an abuse detection mechanism. "
        "Please wait a few minutes before you try again.",
        "https://developer.github.com/v3/#abuse-rate-limits",
    ),
    "403-retry-after": _refusal(403, "Slow down", Retry_After="30"),
    "429-retry-after": _refusal(429, "Slow down", Retry_After="30"),
    "429": _refusal(429, "Slow down"),
}
TOKEN_REFUSALS = {
    "401": _refusal(401, "Bad credentials"),
    "401-must-authenticate": _refusal(  # a server in private mode, and no token
        401,
        "Must authenticate to access this API.",
        "https://docs.github.com/enterprise-server@3.14/rest",
    ),
    "403-login-attempts": _refusal(
        403, "Maximum number of login attempts exceeded. Please try again later."
    ),
    "403-saml": _refusal(
        403,
        "Resource protected by organization SAML enforcement. "
        "You must grant your Personal Access token access to this organization.",
        "https://docs.github.com/articles/"
        "authenticating-to-a-github-organization-with-saml-single-sign-on/",
        X_GitHub_SSO="required; url=https://github.com/orgs/faults/sso?authorization_request=A1B2",
    ),
    "403-resource": _refusal(
        403,
        "Resource not accessible by personal access token",
        GET_REPOSITORY,
        X_Accepted_GitHub_Permissions="metadata=read",
    ),
    "403-user-agent": Fault(
        403,
        {"Content-Type": "text/html"},
        b"\r\nRequest forbidden by administrative rules. Please make sure your request has a"
        b" User-Agent header (https://docs.github.com/en/rest/overview/resources-in-the-rest-api"
        b"#user-agent-required). Check https://developer.github.com for other possible causes.\r\n",
    ),
}
REPOSITORY_REFUSALS = {
    "403": _refusal(403, "Repository access blocked"),
    "403-block": Fault(
        403, body=block_body("tos", "2024-02-03T04:05:06Z", "https://github.com/tos")
    ),
    "404": _refusal(404, "Not Found", GET_REPOSITORY),
    "410": _refusal(410, "Gone"),
    "451": _refusal(451, "Repository access blocked"),
    "451-dmca": Fault(
        451,
        body=block_body(
            "dmca",
            "2024-02-03T04:05:06Z",
            "https://github.com/github/dmca/blob/master/2024/02/2024-02-01-faults.md",
        ),
    ),
}
PROXY_RESPONSES = {
    "403-html": _page(403, "Forbidden"),
    "404-html": _page(404, "Not Found"),
    "410-html": _page(410, "Gone"),
    "451-html": _page(451, "Unavailable For Legal Reasons"),
    "404-not-api": Fault(404, body=json.dumps({"error": "not found"}).encode(), by_proxy=True),
    "html": _page(200, "Sign in to the network"),
}
FAILURES = {
    "400": _refusal(400, "Bad Request"),
    "418": _refusal(418, "I'm a teapot"),
    "500": Fault(500, body=b""),
    "502": Fault(502, {"Content-Type": "text/html"}, b"<html>Unicorn!</html>"),
    "503": Fault(503, body=b""),
    "503-retry-after": Fault(503, {"Retry-After": "30"}, b""),
    "silent": Fault(delay=NEVER),
    "drip": Fault(drip=1.0),
    "cut": Fault(cut=True),
    "closed": Fault(closed=True),
    "204": Fault(204, body=b""),
    "not-json": Fault(body=b'{"id": 1, "full_na'),
    "array": Fault(body=b"[]"),
    "deep": Fault(body=b"[" * 200_000),
    "huge": Fault(padding=50_000_000),
    "gzip-bomb": Fault(padding=50_000_000, compressed=True),
    "bad-gzip": Fault(body=b"not gzip at all", headers={"Content-Encoding": "gzip"}),
    "redirect-itself": Fault(301, {"Location": ""}),
    "redirect-nowhere": Fault(301),
    "redirect-elsewhere": Fault(301, {"Location": "http://localhost:1/repos/a/b"}),
    "redirect-file": Fault(301, {"Location": "file:///etc/passwd"}),
    "redirect-broken": Fault(301, {"Location": "http://[/"}),
    "redirect-search": Fault(301, {"Location": "/search/repositories?q=x"}),
    "redirect-user": Fault(301, {"Location": "/user"}),
}
WRONG_DOCUMENTS = {
    "no-stars": Fault(missing=("stargazers_count", "watchers", "watchers_count")),
    "null-id": Fault(changes={"id": None}),
    "text-stars": Fault(changes={"stargazers_count": "70000"}),
    "huge-stars": Fault(changes={"stargazers_count": 2**63}),
    "number-archived": Fault(changes={"archived": 1}),
    "list-language": Fault(changes={"language": ["Python"]}),
    "bad-date": Fault(changes={"pushed_at": "yesterday"}),
    "bad-name": Fault(changes={"full_name": "../../etc/passwd"}),
    "script-url": Fault(changes={"html_url": "javascript:alert(1)"}),
    "foreign-url": Fault(changes={"html_url": "https://github.example/pallets/flask"}),
    "other-url": Fault(changes={"html_url": "https://github.com/octocat/Hello-World"}),
    "long-url": Fault(changes={"html_url": f"https://github.com/pallets/{'flask' * 1_000}"}),
}
UNUSUAL_DOCUMENTS = {
    "archived": Fault(changes={"archived": True}),
    "no-description": Fault(missing="description"),
    "no-archived": Fault(missing="archived"),
    "no-topics": Fault(missing="topics"),
    "old-server": Fault(
        missing=(
            *("stargazers_count", "watchers_count", "archived", "disabled"),
            *("license", "topics", "visibility"),
        )
    ),
    "nul": Fault(changes={"description": "before\0after"}),
    "surrogate": Fault(changes={"description": "before\ud800after"}),
    "control-characters": Fault(
        changes={
            "description": "\x1b[31mred\x1b[0m \u202egpj.exe",
            "language": "Py\x1b[1mthon\u202e",
        }
    ),
    "long-description": Fault(changes={"description": "d" * 1_000_000}),
    "far-date": Fault(changes={"pushed_at": "9999-12-31T23:59:59-14:00"}),
    "early-date": Fault(changes={"pushed_at": "0001-01-01T00:00:00+14:00"}),
}
FAULTS = {
    **RATE_LIMITS,
    **TOKEN_REFUSALS,
    **REPOSITORY_REFUSALS,
    **PROXY_RESPONSES,
    **FAILURES,
    **WRONG_DOCUMENTS,
    **UNUSUAL_DOCUMENTS,
}
