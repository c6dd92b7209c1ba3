"""A local stand-in for GitHub's REST API: a real HTTP server that behaves as GitHub documents.

It knows the repositories in `repositories.json`, answers with ETags, redirects renamed
repositories, counts against a rate limit, and misbehaves on request.
"""

import copy
import gzip
import hashlib
import json
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

DATA = Path(__file__).with_name("repositories.json")
FAULTS_OWNER = "faults"  # a repository `faults/NAME` answers with FAULTS[NAME]
NEVER = 24 * 60 * 60.0  # seconds


@dataclass(frozen=True)
class Fault:
    """A way to answer that is not GitHub's usual one."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None  # instead of what GitHub would send
    padding: int = 0  # bytes of white space after the body
    compressed: bool = False  # by gzip, the padding too
    changes: dict[str, Any] = field(default_factory=dict)  # members of the usual body
    missing: str | None = None  # a member left out of the usual body
    delay: float = 0.0  # seconds before the answer
    drip: float = 0.0  # seconds after each byte of the answer, its head included
    cut: bool = False  # the connection ends in the middle of the body
    closed: bool = False  # the connection ends with no answer at all


class Call(NamedTuple):
    """A request that reached the stand-in."""

    path: str
    status: int
    headers: dict[str, str]


def _message(text: str) -> bytes:
    documentation = "https://docs.github.com/rest"
    return json.dumps({"message": text, "documentation_url": documentation}).encode()


FAULTS = {
    "400": Fault(400, body=_message("Bad Request")),
    "401": Fault(401, body=_message("Bad credentials")),
    "403": Fault(403, body=_message("Repository access blocked")),
    "404": Fault(404, body=_message("Not Found")),
    "410": Fault(410, body=_message("Gone")),
    "451": Fault(451, body=_message("Repository access blocked")),
    "500": Fault(500, body=b""),
    "502": Fault(502, body=b"<html>Unicorn!</html>", headers={"Content-Type": "text/html"}),
    "503": Fault(503, body=b""),
    "503-retry-after": Fault(503, body=b"", headers={"Retry-After": "30"}),
    "403-limit": Fault(
        403,
        body=_message("API rate limit exceeded"),
        headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "+60"},
    ),
    "429-limit": Fault(
        429,
        body=_message("API rate limit exceeded"),
        headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "+60"},
    ),
    "403-secondary": Fault(403, body=_message("You have exceeded a secondary rate limit.")),
    "403-retry-after": Fault(403, body=_message("Slow down"), headers={"Retry-After": "30"}),
    "429-retry-after": Fault(429, body=_message("Slow down"), headers={"Retry-After": "30"}),
    "429": Fault(429, body=_message("Slow down")),
    "silent": Fault(delay=NEVER),
    "drip": Fault(drip=1.0),
    "cut": Fault(cut=True),
    "closed": Fault(closed=True),
    "not-json": Fault(body=b'{"id": 1, "full_na'),
    "html": Fault(body=b"<html>Sign in to the network</html>"),
    "array": Fault(body=b"[]"),
    "deep": Fault(body=b"[" * 200_000),
    "no-stars": Fault(missing="stargazers_count"),
    "no-description": Fault(missing="description"),
    "null-id": Fault(changes={"id": None}),
    "text-stars": Fault(changes={"stargazers_count": "70000"}),
    "huge-stars": Fault(changes={"stargazers_count": 2**63}),
    "number-archived": Fault(changes={"archived": 1}),
    "list-language": Fault(changes={"language": ["Python"]}),
    "bad-date": Fault(changes={"pushed_at": "yesterday"}),
    "bad-name": Fault(changes={"full_name": "../../etc/passwd"}),
    "script-url": Fault(changes={"html_url": "javascript:alert(1)"}),
    "nul": Fault(changes={"description": "before\0after"}),
    "surrogate": Fault(changes={"description": "before\ud800after"}),
    "huge": Fault(padding=50_000_000),
    "gzip-bomb": Fault(padding=50_000_000, compressed=True),
    "bad-gzip": Fault(body=b"not gzip at all", headers={"Content-Encoding": "gzip"}),
    "redirect-itself": Fault(301, headers={"Location": ""}),
    "redirect-nowhere": Fault(301),
    "redirect-elsewhere": Fault(301, headers={"Location": "http://localhost:1/repos/a/b"}),
    "redirect-file": Fault(301, headers={"Location": "file:///etc/passwd"}),
    "redirect-broken": Fault(301, headers={"Location": "http://[/"}),
    "204": Fault(204, body=b""),
    "418": Fault(418, body=_message("I'm a teapot")),
}


class GitHub:
    """The stand-in, to be used as a context manager; `url` is for `GITHUB_API_BASE`.

    Change `repositories` (by name), `renamed`, `fault`, `token` and `remaining` while it runs;
    read what was asked in `calls`.
    """

    def __init__(self, port: int = 0) -> None:
        data = json.loads(DATA.read_text())
        self.repositories: dict[str, dict[str, Any]] = {
            repository["full_name"]: repository for repository in data["repositories"]
        }
        self.renamed: dict[str, str] = dict(data["renamed"])
        self.fault: Fault | None = None  # how every call is answered, if not as usual
        self.token: str | None = None  # the one that is valid; None takes any
        self.remaining: int | None = None  # calls before the rate limit; None never ends
        self.reset = 0.0  # when the limit ends, in epoch seconds
        self.calls: list[Call] = []
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.github = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "GitHub":
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stopped.set()
        self._server.shutdown()
        self._server.server_close()

    def rename(self, old: str, new: str) -> None:
        """Rename a repository as its owner would: the old name redirects from now on."""
        repository = self.repositories.pop(old)
        self.repositories[new] = {**repository, "full_name": new}
        self.renamed[old] = new

    def limit(self, seconds: float) -> None:
        """Have the rate limit used up for so long."""
        self.remaining, self.reset = 0, time.time() + seconds

    def find(self, name: str) -> dict[str, Any] | None:
        """Find a repository by its present name, in any letter case."""
        wanted = name.lower()
        return next((r for n, r in self.repositories.items() if n.lower() == wanted), None)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    github: GitHub


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "github.com"
    sys_version = ""
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        github = self.server.github
        path = unquote(urlsplit(self.path).path)
        fault = self._fault(path)
        if fault:
            github.stopped.wait(fault.delay)
            status, body, headers = self._faulty(fault, path)
        else:
            fault = Fault()
            status, body, headers = self._usual(path)
        with github.lock:
            github.calls.append(Call(path, status, dict(self.headers)))
        if fault.closed or github.stopped.is_set():
            self.close_connection = True
            return
        self._send(status, body, headers, fault)

    def _fault(self, path: str) -> Fault | None:
        parts = path.strip("/").split("/")
        if len(parts) == 3 and parts[1] == FAULTS_OWNER:
            return FAULTS.get(parts[2])
        return self.server.github.fault if path != "/rate_limit" else None

    def _faulty(self, fault: Fault, path: str) -> tuple[int, bytes, dict[str, str]]:
        headers = dict(fault.headers)
        if headers.get("Location") == "":
            headers["Location"] = self.path
        if "X-RateLimit-Reset" in headers:  # told as seconds from now
            headers["X-RateLimit-Reset"] = str(int(time.time() + int(headers["X-RateLimit-Reset"])))
        body = fault.body
        if body is None:
            github = self.server.github
            named = github.find(path.removeprefix("/repos/"))
            document = self._document(named or next(iter(github.repositories.values())))
            document |= fault.changes
            if fault.missing:
                del document[fault.missing]
            body = json.dumps(document).encode()
        body += b" " * fault.padding
        if fault.compressed:
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body)
        return fault.status, body, headers

    def _usual(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        """Answer as https://docs.github.com/en/rest/repos/repos#get-a-repository says."""
        if not self.headers.get("User-Agent"):
            return 403, _message("Request forbidden by administrative rules."), {}
        github = self.server.github
        authorization = self.headers.get("Authorization")
        if authorization and github.token and authorization != f"Bearer {github.token}":
            return 401, _message("Bad credentials"), {}
        if path == "/rate_limit":
            limits = {"limit": 5000, "remaining": self._remaining(), "reset": int(github.reset)}
            return 200, json.dumps({"resources": {"core": limits}}).encode(), {}
        if github.remaining is not None and time.time() >= github.reset > 0:
            github.remaining = None
        headers = self._limit_headers()
        if github.remaining == 0:
            return 403, _message("API rate limit exceeded"), headers
        status, body, more = self._repository(path)
        if github.remaining is not None and not (status == 304 and authorization):
            with github.lock:
                github.remaining -= 1
        return status, body, self._limit_headers() | more

    def _repository(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        github = self.server.github
        repository = None
        if path.startswith("/repos/"):
            name = path.removeprefix("/repos/")
            repository = github.find(name)
            now = next((n for o, n in github.renamed.items() if o.lower() == name.lower()), None)
            if repository is None and now is not None and (target := github.find(now)):
                location = f"{github.url}/repositories/{target['id']}"
                body = json.dumps({"message": "Moved Permanently", "url": location}).encode()
                return 301, body, {"Location": location}
        elif path.startswith("/repositories/"):
            wanted = path.removeprefix("/repositories/")
            found = (r for r in github.repositories.values() if str(r["id"]) == wanted)
            repository = next(found, None)
        if repository is None:
            return 404, _message("Not Found"), {}
        body = json.dumps(self._document(repository)).encode()
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

    def _document(self, repository: dict[str, Any]) -> dict[str, Any]:
        owner, name = repository["full_name"].split("/")
        document = copy.deepcopy(repository)
        stars = document.pop("stars")
        document["license"] = {"spdx_id": document["license"]} if document["license"] else None
        return document | {
            "name": name,
            "owner": {"login": owner, "html_url": f"https://github.com/{owner}"},
            "private": False,
            "fork": False,
            "html_url": f"https://github.com/{repository['full_name']}",
            "url": f"{self.server.github.url}/repos/{repository['full_name']}",
            "stargazers_count": stars,
            "watchers_count": stars,
        }

    def _remaining(self) -> int:
        remaining = self.server.github.remaining
        return 5000 if remaining is None else remaining

    def _limit_headers(self) -> dict[str, str]:
        reset = self.server.github.reset or time.time() + 3600
        return {
            "X-RateLimit-Limit": "5000",
            "X-RateLimit-Remaining": str(self._remaining()),
            "X-RateLimit-Reset": str(int(reset)),
            "X-RateLimit-Resource": "core",
        }

    def _send(self, status: int, body: bytes, headers: dict[str, str], fault: Fault) -> None:
        head = {"Content-Type": "application/json; charset=utf-8", **headers}
        if status not in (204, 304):
            head["Content-Length"] = str(len(body))
        lines = [f"HTTP/1.1 {status} {self.responses.get(status, ('',))[0]}"]
        lines += [f"Date: {self.date_time_string()}", "Server: github.com"]
        lines += [f"{name}: {value}" for name, value in head.items()]
        answer = "\r\n".join([*lines, "", ""]).encode() + body
        if fault.cut:
            answer = answer[: len(answer) - len(body) // 2]
            self.close_connection = True
        try:
            if not fault.drip:
                self.wfile.write(answer)
                return
            for byte in answer:
                self.wfile.write(bytes([byte]))
                if self.server.github.stopped.wait(fault.drip):
                    return
        except OSError:  # the client has had enough
            self.close_connection = True


def main() -> None:
    """Serve until standard input closes, so as long as whoever started this lives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group
    with GitHub() as github:
        print(github.url, flush=True)
        sys.stdin.read()
