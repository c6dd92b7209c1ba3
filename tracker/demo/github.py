"""Stand-in for GitHub's REST API: a local HTTP server that behaves as GitHub documents.

It serves the repositories of `repositories.json` with ETags, redirects their old names, counts
calls against rate limits, and shows each of the `faults` on request.
"""

import json
import signal
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from .faults import FAULTS, FAULTS_OWNER, NEVER, Fault
from .handler import Call, RateLimit, Server

__all__ = [
    "DATA",
    "FAULTS",
    "FAULTS_OWNER",
    "NEVER",
    "Call",
    "Fault",
    "GitHub",
    "RateLimit",
    "main",
]

DATA = Path(__file__).with_name("repositories.json")


class GitHub(RateLimit):
    """The stand-in, a context manager; `url` is for `GITHUB_API_BASE`.

    Change `repositories` (by name), `renamed`, `fault`, `token`, `remaining` and `rate_limits`
    while it runs, and read the requests in `calls`. To delete a repository and create it anew,
    replace it by one with another id; to swap two names, swap two values and their `full_name`.

    With `enterprise` it is an Enterprise Server: its API is under `/api/v3`, and the pages of its
    repositories are on https://127.0.0.1.
    """

    def __init__(self, port: int = 0, *, enterprise: bool = False) -> None:
        super().__init__()  # the rate limit of all tokens that are not in `rate_limits`
        data = json.loads(DATA.read_text())
        self.repositories: dict[str, dict[str, Any]] = {
            repository["full_name"]: repository for repository in data["repositories"]
        }
        self.renamed: dict[str, str] = dict(data["renamed"])
        self.fault: Fault | None = None  # the response to each call, in place of the usual one
        self.rate_limit_fault: Fault | None = None  # the same, for `/rate_limit`
        self.token: str | None = None  # the only valid one; None: each token is valid
        self.rate_limits: dict[str | None, RateLimit] = {}  # by token; None: calls without one
        self.calls: list[Call] = []
        self.lock = threading.Lock()
        self.stopped = threading.Event()
        self._server = Server(("127.0.0.1", port), self)
        self.prefix = "/api/v3" if enterprise else ""
        self.url = f"http://127.0.0.1:{self._server.server_port}{self.prefix}"
        self.web_url = "https://127.0.0.1" if enterprise else "https://github.com"

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

    def limit(self, seconds: float, *tokens: str | None) -> None:
        """Use up the rate limit for these seconds: of these tokens, or the common one."""
        reset = time.time() + seconds
        if not tokens:
            self.remaining, self.reset = 0, reset
        for token in tokens:
            self.rate_limits[token] = RateLimit(0, reset)

    def find(self, name: str) -> dict[str, Any] | None:
        """Return a repository by its present name, in any letter case, or None."""
        wanted = name.lower()
        return next((r for n, r in self.repositories.items() if n.lower() == wanted), None)

    def find_renamed(self, name: str) -> dict[str, Any] | None:
        """Return a repository by a name that it had before, or None."""
        renamed = {old.lower(): new for old, new in self.renamed.items()}
        for _ in renamed:
            if (new := renamed.get(name.lower())) is None:
                return None
            if found := self.find(new):
                return found
            name = new
        return None


def main() -> None:
    """Serve until standard input closes, which happens when the parent process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole process group
    with GitHub() as github:
        print(github.url, flush=True)
        sys.stdin.read()
