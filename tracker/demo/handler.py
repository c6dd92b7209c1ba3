"""HTTP side of the stand-in for GitHub: how it responds to a request."""

import gzip
import hashlib
import json
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

from .documents import (
    GET_REPOSITORY,
    RATE_LIMIT_DOCS,
    describe_rate_limit,
    describe_repository,
    error_body,
)
from .faults import FAULTS, FAULTS_OWNER, Fault

if TYPE_CHECKING:
    from .github import GitHub

LIMIT_WITH_TOKEN = 5000  # calls an hour
LIMIT_WITHOUT_TOKEN = 60

Response = tuple[int, bytes, dict[str, str]]  # status, body, headers


class Call(NamedTuple):
    """A request that reached the stand-in."""

    path: str
    status: int
    headers: dict[str, str]


@dataclass(eq=False)
class RateLimit:
    """The calls that a token may still make."""

    remaining: int | None = None  # None: unlimited
    reset: float = 0.0  # when `remaining` becomes unlimited, in epoch seconds; 0: never

    def describe(self, token: str | None) -> dict[str, Any]:
        """Return the document of `/rate_limit` for a token."""
        limit = LIMIT_WITHOUT_TOKEN if token is None else LIMIT_WITH_TOKEN
        remaining = limit if self.remaining is None else self.remaining
        return describe_rate_limit(limit, remaining, int(self.reset or time.time() + 3600))

    def headers(self, token: str | None) -> dict[str, str]:
        """Return the headers that tell a token's rate limit."""
        core = self.describe(token)["rate"]
        headers = {f"X-RateLimit-{name.title()}": str(value) for name, value in core.items()}
        return {**headers, "X-RateLimit-Resource": "core"}


class Server(ThreadingHTTPServer):
    """The server of one stand-in."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], github: "GitHub") -> None:
        super().__init__(address, Handler)
        self.github = github


class Handler(BaseHTTPRequestHandler):
    """The requests of one connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        github = self.server.github
        path = unquote(urlsplit(self.path).path)
        fault = self._fault(path)
        if fault:
            github.stopped.wait(fault.delay)
            status, body, headers = self._faulty_response(fault, path)
        else:
            fault = Fault(by_proxy=not path.startswith(github.prefix))
            status, body, headers = self._usual_response(path)
        with github.lock:
            github.calls.append(Call(path, status, dict(self.headers)))
        if fault.closed or github.stopped.is_set():
            self.close_connection = True
            return
        self._send(status, body, headers, fault)

    def _fault(self, path: str) -> Fault | None:
        parts = path.removeprefix(self.server.github.prefix).strip("/").split("/")
        if len(parts) == 3 and parts[1] == FAULTS_OWNER:
            return FAULTS.get(parts[2])
        github = self.server.github
        return github.rate_limit_fault if parts == ["rate_limit"] else github.fault

    def _faulty_response(self, fault: Fault, path: str) -> Response:
        github = self.server.github
        headers = dict(fault.headers)
        if headers.get("Location") == "":
            headers["Location"] = self.path
        if seconds := headers.get("X-RateLimit-Reset"):
            headers["X-RateLimit-Reset"] = str(int(time.time() + int(seconds)))
        body = fault.body
        if body is None:
            found = github.find(path.removeprefix(f"{github.prefix}/repos/"))
            document = self._describe(found or next(iter(github.repositories.values())))
            document |= fault.changes
            missing = fault.missing or ()
            for member in (missing,) if isinstance(missing, str) else missing:
                del document[member]
            body = json.dumps(document).encode()
        body += b" " * fault.padding
        if fault.compressed:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body)
        return fault.status, body, headers

    def _usual_response(self, path: str) -> Response:
        """Return the response of https://docs.github.com/en/rest/repos/repos#get-a-repository."""
        github = self.server.github
        if not path.startswith(github.prefix):
            return 404, b"<html>Page not found</html>", {"Content-Type": "text/html"}
        if not self.headers.get("User-Agent"):
            return self._faulty_response(FAULTS["403-user-agent"], path)
        path = path.removeprefix(github.prefix)
        authorization = self.headers.get("Authorization")
        if authorization and github.token and authorization != f"Bearer {github.token}":
            return 401, error_body(401, "Bad credentials"), {}
        token = authorization.partition(" ")[2] if authorization else None
        limit = github.rate_limits.get(token, github)
        if limit.remaining is not None and time.time() >= limit.reset > 0:
            limit.remaining = None
        if path == "/rate_limit":
            return 200, json.dumps(limit.describe(token)).encode(), limit.headers(token)
        if limit.remaining == 0:
            subject = "user ID 1" if token else "127.0.0.1"
            message = f"API rate limit exceeded for {subject}."
            return 403, error_body(403, message, RATE_LIMIT_DOCS), limit.headers(token)
        status, body, headers = self._repository_response(path, bool(authorization))
        if limit.remaining is not None and not (status == 304 and authorization):
            with github.lock:
                limit.remaining -= 1
        return status, body, limit.headers(token) | headers

    def _repository_response(self, path: str, authorized: bool) -> Response:
        github = self.server.github
        repository = None
        if path.startswith("/repos/"):
            name = path.removeprefix("/repos/")
            repository = github.find(name)
            if repository is None and (target := github.find_renamed(name)):
                location = f"{github.url}/repositories/{target['id']}"
                body = json.dumps({"message": "Moved Permanently", "url": location}).encode()
                return 301, body, {"Location": location}
        elif path.startswith("/repositories/"):
            wanted = path.removeprefix("/repositories/")
            found = (r for r in github.repositories.values() if str(r["id"]) == wanted)
            repository = next(found, None)
        document = self._describe(repository) if repository else None
        if document is None or (document["private"] and not authorized):
            return 404, error_body(404, "Not Found", GET_REPOSITORY), {}
        body = json.dumps(document).encode()
        etag = f'W/"{hashlib.sha256(body).hexdigest()}"'
        headers = {
            "Cache-Control": "public, max-age=60, s-maxage=60",
            "ETag": etag,
            "Vary": "Accept, Authorization, Cookie, X-GitHub-OTP,Accept-Encoding",
        }
        if self.headers.get("If-None-Match") == etag:
            return 304, b"", headers
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            return 200, gzip.compress(body, mtime=0), headers | {"Content-Encoding": "gzip"}
        return 200, body, headers

    def _describe(self, repository: dict[str, Any]) -> dict[str, Any]:
        github = self.server.github
        return describe_repository(repository, github.url, github.web_url)

    def _send(self, status: int, body: bytes, headers: dict[str, str], fault: Fault) -> None:
        head = {"Date": self.date_time_string(), "Content-Type": "application/json; charset=utf-8"}
        if not fault.by_proxy:
            head |= {
                "Server": "github.com",
                "X-GitHub-Media-Type": "github.v3; format=json",
                "X-GitHub-Request-Id": f"0400:1A2B:{time.time_ns():X}",
            }
        head |= headers
        if status not in (204, 304):
            head["Content-Length"] = str(len(body))
        lines = [f"HTTP/1.1 {status} {self.responses.get(status, ('',))[0]}"]
        lines += [f"{name}: {value}" for name, value in head.items()]
        response = "\r\n".join([*lines, "", ""]).encode() + body
        if fault.cut:
            response = response[: len(response) - len(body) // 2]
            self.close_connection = True
        try:
            if not fault.drip:
                self.wfile.write(response)
                return
            for byte in response:
                self.wfile.write(bytes([byte]))
                if self.server.github.stopped.wait(fault.drip):
                    return
        except OSError:  # the client closed the connection
            self.close_connection = True
