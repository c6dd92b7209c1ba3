"""Send random and hostile requests to the service, and count its responses.

    .venv/bin/python tests/fuzz.py --cases 100000 --seed 1

Exits with 1 if a response has an unexpected status (5xx), no JSON where JSON is due, or shows an
internal detail. It is a command, not a test: 100,000 cases take some minutes. The same seed sends
the same requests.
"""

import argparse
import http.client
import json
import os
import random
import re
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_from_bytes

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from helpers import served  # noqa: E402
from tracker.api.schemas import ListQuerySchema, TaskInputSchema  # noqa: E402
from tracker.demo.github import GitHub  # noqa: E402

THREADS = 8
EXPECTED = {200, 201, 204, 304, 308, 400, 404, 405, 412, 413, 414, 415, 422, 431}
INTERNALS = re.compile(rb"Traceback|psycopg|peewee|SELECT |INSERT |site-packages|\.py\b")
TEXTS = [
    "", " ", "a", "pallets/flask", "PALLETS/Flask", "open", "done", "high", "true", "false", "1",
    "0", "-1", "100", "101", "9223372036854775807", "9223372036854775808", "1e400", "NaN", "null",
    "2030-01-31", "2030-02-30", "0000-00-00", "-created_at", "stars", "title;drop", "' OR 1=1 --",
    "%00", "\x00", "\x1b[31m", "\u202e", "\ud800", "\uffff", "\U0001f680", "\u0130", "e\u0301",
    "a" * 201, "'", '"', "\\", "a:*", "a & b", "!a", "<->", "(", "))", "*", "\n", "\r\n",
    "W10", "e30", "bnVsbA", "WyJjcmVhdGVkX2F0Iiw1LDFd", "WyItY3JlYXRlZF9hdCIsbnVsbCwxXQ",
    "https://github.com/pallets/flask/issues/1", "git@github.com:a/b.git", "../../etc/passwd",
]  # fmt: skip
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"]
# Paths with the methods that they mostly get.
TARGETS = [
    ("/tasks", ["GET", "POST"]),
    ("/tasks", ["GET", "POST"]),
    ("/tasks/{id}", ["GET", "PUT", "PATCH", "DELETE"]),
    ("/tasks/{id}/refresh", ["POST"]),
    ("/health/ready", ["GET"]),
    ("/openapi.json", ["GET"]),
    ("/{text}", METHODS),
    ("/docs/{text}", METHODS),
    ("/tasks/{text}", METHODS),
]
HEADERS = [
    "If-Match",
    "If-None-Match",
    "Idempotency-Key",
    "X-Request-ID",
    "Accept",
    "Host",
    "Origin",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "Content-Type",
    "Sec-Fetch-Site",
]


class Fuzzer:
    """Random requests, from one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._fields = list(TaskInputSchema().fields)
        self._parameters = list(ListQuerySchema().fields)

    def text(self) -> str:
        """Return a text that is sound, hostile, or random."""
        if self._random.random() < 0.7:
            return self._random.choice(TEXTS)
        size = self._random.choice([1, 3, 20, 250])
        highest = self._random.choice([0x7F, 0xFF, 0xD7FF])
        return "".join(chr(self._random.randint(1, highest)) for _ in range(size))

    def value(self, depth: int = 0) -> Any:
        """Return a JSON value."""
        kind = self._random.randrange(9 if depth < 3 else 6)
        if kind < 3:
            return self.text()
        if kind == 3:
            return self._random.choice([0, 1, -1, 2**31, 2**63, 1.5, 1e308, 10**400])
        if kind < 6:
            return self._random.choice([None, True, False])
        if kind == 6:
            return {self.text(): self.value(depth + 1) for _ in range(self._random.randrange(4))}
        return [self.value(depth + 1) for _ in range(self._random.choice([0, 1, 2, 21]))]

    def body(self) -> bytes:
        """Return a body: sound JSON with some wrong fields, or something else."""
        kind = self._random.random()
        if kind < 0.1:
            return self._random.randbytes(self._random.choice([0, 1, 50, 5000]))
        if kind < 0.2:
            return json.dumps(self.value()).encode(errors="surrogatepass")
        fields = {"title": "Fuzz", "repository": "pallets/flask"}
        task = {k: v for k, v in fields.items() if self._random.random() < 0.9}
        for _ in range(self._random.randrange(3)):
            task[self._random.choice([*self._fields, self.text()])] = self.value()
        body = json.dumps(task).encode()
        return body if self._random.random() < 0.95 else body[: self._random.randrange(len(body))]

    def request(self) -> tuple[str, str, bytes | None, dict[str, str]]:
        """Return method, target, body and headers."""
        template, methods = self._random.choice(TARGETS)
        method = self._random.choice(methods if self._random.random() < 0.95 else METHODS)
        task_id = self._random.choice([1, 2, 50, 10**6, 2**63 - 1, 2**63, -1, 0])
        path = template.format(id=task_id, text=self._quote(self.text()))
        pairs = [
            f"{self._random.choice([*self._parameters, 'metadata', self._quote(self.text())])}"
            f"={self._quote(self.text())}"
            for _ in range(self._random.choice([0, 0, 1, 1, 2, 5]))
        ]
        headers = {"Content-Type": "application/json"}
        for name in self._random.sample(HEADERS, self._random.choice([0, 0, 0, 0, 0, 1, 2])):
            value = self._random.choice(['"1"', 'W/"2"', "*", "text/plain", "null", self.text()])
            headers[name] = re.sub(r"[^ -~\xa0-\xff]", "", value).strip()
        body = self.body() if method in {"POST", "PUT", "PATCH"} else None
        return method, f"{path}?{'&'.join(pairs)}" if pairs else path, body, headers

    def _quote(self, text: str) -> str:
        if self._random.random() < 0.1:
            return quote_from_bytes(self._random.randbytes(8))
        return quote(text, safe="", errors="surrogatepass")


def attack(port: int, seed: int, cases: int, seen: Counter[Any], faults: list[str]) -> None:
    """Send the requests of one seed over one connection at a time."""
    fuzzer = Fuzzer(seed)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for _ in range(cases):
        method, target, body, headers = fuzzer.request()
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            seen[type(error).__name__] += 1
            faults.append(f"{type(error).__name__}: {method} {target} {body!r:.200} {headers}")
            continue
        seen[response.status] += 1
        unexpected = response.status not in {*EXPECTED, 401, 403, 501}
        if unexpected or (INTERNALS.search(content) and "docs" not in target):
            faults.append(
                f"{response.status} {method} {target} {body!r:.300} {headers} {content!r:.300}"
            )


def main() -> None:
    """Start the service, attack it, and report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    seen: Counter[Any] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as name, GitHub() as github:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL refuses root, and runs as another account
        database = f"embedded:{folder / 'postgres'}"
        environment = {
            **os.environ,
            "DATABASE_URL": database,
            "GITHUB_API_BASE": github.url,
            "GITHUB_CACHE": "memory",
        }
        with served(environment, folder / "service.log") as service:
            seeds = range(options.seed * 1000, options.seed * 1000 + THREADS)
            cases = options.cases // THREADS
            threads = [
                threading.Thread(target=attack, args=(service.port, seed, cases, seen, faults))
                for seed in seeds
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            tracebacks = service.log.count("ERROR tracker: Exception")
    print(json.dumps({str(k): v for k, v in sorted(seen.items(), key=str)}))
    for fault in faults[:20]:
        print(fault)
    print(f"{sum(seen.values())} cases, {len(faults)} unexpected, {tracebacks} tracebacks")
    sys.exit(bool(faults or tracebacks))


if __name__ == "__main__":
    main()
