"""GitHub refuses, hangs, drips, lies and limits; the tasks stay as they are, and others are served.

Each fault meets the real service twice: without a copy of the repository, and with an expired one.
"""

import re
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest
import requests

from conftest import NAMES, clear
from load import Answer, Load, connections, descriptors, workers
from service import PATIENCE, Service, served, wait_for
from tracker.config import Settings
from tracker.database import migrations
from tracker.demo.github import FAULTS, Fault, GitHub
from tracker.github.session import cache_key
from tracker.waiting import SLOW

pytestmark = pytest.mark.failure

FLASK = "pallets/flask"
TOKEN = "s3cret-t0ken-of-github"
TIMEOUT = 1.5  # seconds, GITHUB_TIMEOUT
MARGIN = 0.7  # seconds beyond it that an answer may take on a busy machine
EXPIRED = 1.1  # seconds after which a copy is not fresh, with GITHUB_CACHE_TTL=1
ELSEWHERE = "//elsewhere"  # in a fault, the address of another host that listens

LATER = {"Retry-After": "30"}
MORE_FAULTS = {
    "500-retry-after": Fault(500, body=b"", headers=LATER),
    "502-retry-after": Fault(502, body=b"", headers=LATER),
    "429-for-a-second": Fault(429, body=b"{}", headers={"Retry-After": "1"}),
    "drip-quickly": Fault(padding=1000, drip=0.01),
    "huge-id": Fault(changes={"id": 2**63}),
    "endless-stars": Fault(body=b'{"id": 1, "stargazers_count": ' + b"9" * 10_000 + b"}"),
    "infinite-stars": Fault(changes={"stargazers_count": float("inf")}),
    "redirect-elsewhere": Fault(301, headers={"Location": f"http:{ELSEWHERE}/repos/{FLASK}"}),
    "redirect-elsewhere-302": Fault(302, headers={"Location": f"http:{ELSEWHERE}/repos/{FLASK}"}),
    "redirect-elsewhere-https": Fault(
        301, headers={"Location": f"https:{ELSEWHERE}/repos/{FLASK}"}
    ),
    "redirect-elsewhere-same-scheme": Fault(301, headers={"Location": f"{ELSEWHERE}/{FLASK}"}),
}
ALL_FAULTS = FAULTS | MORE_FAULTS
REFUSALS = {"403", "404", "410", "451"}  # they say that the user's repository can't be had
NEVER_HIDDEN = {"401", *REFUSALS}
HANGING = {"silent", "drip", "drip-quickly"}
LIMITS = {  # and for how many seconds
    "403-limit": 60,
    "429-limit": 60,
    "403-secondary": 60,
    "429": 60,
    "403-retry-after": 30,
    "429-retry-after": 30,
    "429-for-a-second": 1,
}


def status_of(name: str, copy: bool) -> int:
    """Tell the status that the contract gives."""
    if copy and name not in NEVER_HIDDEN:
        return 201
    if name in REFUSALS:
        return 422
    return 503 if name in LIMITS else 504 if name in HANGING else 502


class Gated(GitHub):
    """A stand-in that can hold what it is asked before it looks how to answer."""

    def __init__(self, port: int = 0) -> None:
        self.held = 0  # how many calls are held, or were
        self._gate = threading.Event()
        self._gate.set()
        super().__init__(port)

    @property
    def fault(self) -> Fault | None:
        if not self._gate.is_set():
            with self.lock:
                self.held += 1
            self._gate.wait(PATIENCE)
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self._fault = fault

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Hold what is asked until the block ends."""
        self.held = 0
        self._gate.clear()
        try:
            yield
        finally:
            self._gate.set()

    def add(self, name: str) -> str:
        """Know one more repository."""
        known = self.repositories[FLASK]
        self.repositories[name] = known | {
            "full_name": name,
            "id": 10**9 + len(self.repositories),
            "description": name,
        }
        return name


@contextmanager
def serving(github: Gated) -> Iterator[Gated]:
    """Have the stand-in answer until the block ends."""
    with github:
        yield github


@dataclass
class Setting:
    """One service with one worker, its GitHub, and what it has copies of."""

    service: Service
    github: Gated
    url: str  # of the database
    cache: Path
    elsewhere: socket.socket
    fetched: dict[str, str] = field(default_factory=dict)  # each copy's metadata_fetched_at

    def at_its_address(self, fault: Fault) -> Fault:
        """Give the fault with the address of the other host."""
        host, port = self.elsewhere.getsockname()
        location = fault.headers.get("Location", "").replace(ELSEWHERE, f"//{host}:{port}")
        return replace(fault, headers=fault.headers | ({"Location": location} if location else {}))

    def forget_limit(self) -> None:
        """Take the memory of a rate limit out of the cache."""
        with closing(sqlite3.connect(self.cache, timeout=5)) as file, file:
            key = cache_key(f"rate limit of {self.github.url}")
            file.execute("DELETE FROM responses WHERE key = ?", [key])


def settings_for(url: str, github: GitHub, cache: Path) -> dict[str, str]:
    return dict.fromkeys(NAMES, "") | {
        "DATABASE_URL": url,
        "GITHUB_API_BASE": github.url,
        "GITHUB_CACHE": str(cache),
        "GITHUB_CACHE_TTL": "1",
        "GITHUB_TIMEOUT": str(TIMEOUT),
        "GITHUB_TOKEN": TOKEN,
        "THREADS": "2",
        "WEB_CONCURRENCY": "1",
    }


@pytest.fixture
def github() -> Iterator[Gated]:
    with serving(Gated()) as stand_in:
        yield stand_in


@pytest.fixture
def environment(empty_database_url: str, github: Gated, tmp_path: Path) -> dict[str, str]:
    """The environment of a service with one worker, 2 THREADS, and copies that expire quickly."""
    migrations.upgrade(Settings(database_url=empty_database_url))
    return settings_for(empty_database_url, github, tmp_path / "cache.sqlite")


@pytest.fixture(scope="module")
def setting(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """A service with a copy for each fault, all of them expired."""
    folder = tmp_path_factory.mktemp("failing")
    cache = folder / "cache.sqlite"
    with serving(Gated()) as github, socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        with served(settings_for(database_url, github, cache), folder / "output") as service:
            setting = Setting(service, github, database_url, cache, elsewhere)
            for name in ALL_FAULTS:
                github.add(f"fresh/{name}")
                created = service.post(github.add(f"copies/{name}"))
                setting.fetched[name] = created.json()["metadata_fetched_at"]
            use_all_threads(service, github)
            time.sleep(EXPIRED)
            yield setting
    clear(database_url)


def use_all_threads(service: Service, github: Gated) -> None:
    """Have the worker open what it opens once: its threads' views of the cache, its pool."""
    with ThreadPoolExecutor(8) as threads:
        with github.holding():
            names = [github.add(f"first/{number}") for number in range(6)]
            posts = [threads.submit(service.post, name) for name in names]
            wait_for(lambda: github.held == 6)
            assert service.call("GET", "/tasks").status_code == 200
        assert {post.result().status_code for post in posts} == {201}


def fetch(url: str, query: str, *values: object) -> Any:
    """Give the one row of a query."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchone()


def rows(url: str, besides: str = "") -> tuple[int, str]:
    """Count the tasks besides those of a title, and sum up all that is in them."""
    found: tuple[int, str] = fetch(
        url,
        "SELECT count(*), md5(string_agg(tasks::text, ',' ORDER BY id)) FROM tasks"
        " WHERE title <> %s",
        besides,
    )
    return found


def lost_and_doubled(found: Load, url: str) -> tuple[int, int]:
    """Count the tasks that were acknowledged and are not there, and those that are there twice."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT title FROM tasks WHERE title = ANY(%s)", [list(found.created)])
        there = Counter(title for (title,) in cursor)
    return len(found.created - there.keys()), sum(number > 1 for number in there.values())


def busy_connections(url: str) -> int:
    """Count the service's connections that are in a transaction, or in a statement."""
    (found,) = fetch(
        url,
        "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle'"
        " AND application_name = 'github-task-tracker' AND datname = current_database()",
    )
    return int(found)


def ask(service: Service, found: Load, method: str, path: str, **options: Any) -> requests.Response:
    """Call the service, and note what it came to."""
    started = time.monotonic()
    response = service.call(method, path, **options)
    ended = time.monotonic()
    response.raw = None  # it would keep the connection open for as long as the answer is kept
    found.answers.append(Answer(ended, ended - started, f"{method} {path}", response.status_code))
    if method == "POST" and response.status_code == 201:
        found.created.add(response.json()["title"])
    return response


def create(
    service: Service, found: Load, title: str, repository: str, query: str = "", **options: Any
) -> requests.Response:
    """Ask for a new task."""
    body = {"title": title, "repository": repository}
    return ask(service, found, "POST", f"/tasks{query}", json=body, **options)


@contextmanager
def answering_with(setting: Setting, fault: Fault) -> Iterator[None]:
    """Have GitHub answer everything with the fault until the block ends."""
    setting.github.fault = setting.at_its_address(fault)
    try:
        yield
    finally:
        setting.github.fault = None


@pytest.mark.parametrize("name", ALL_FAULTS)
def test_a_fault_gets_its_status_in_time_and_harms_nothing_else(
    setting: Setting, report: Callable[..., None], name: str
) -> None:
    service, github, url = setting.service, setting.github, setting.url
    found, titles = {False: Load(), True: Load()}, {False: f"{name}, fresh", True: f"{name}, copy"}
    repositories = {False: f"fresh/{name}", True: f"copies/{name}"}
    task = service.post(FLASK).json()
    before, start = rows(url), (connections(url), descriptors(service))
    first_call = len(github.calls)
    with answering_with(setting, ALL_FAULTS[name]), ThreadPoolExecutor(2) as threads:
        with github.holding():
            creations = {
                copy: threads.submit(create, service, found[copy], titles[copy], repositories[copy])
                for copy in found
            }
            wait_for(lambda: github.held == 2)
            serves_others(setting, task)
            assert not any(creation.done() for creation in creations.values())
        if name in HANGING:
            serves_others(setting, task)
            assert not any(creation.done() for creation in creations.values())
        answers = {copy: creation.result() for copy, creation in creations.items()}
        assert rows(url, besides=titles[True]) == before
        if name in LIMITS:
            heeds_the_limit(setting, LIMITS[name])
    for copy, answer in answers.items():
        assert answer.status_code == status_of(name, copy), answer.text
        assert found[copy].answers[0].seconds < TIMEOUT + MARGIN
        if answer.status_code == 201:
            created = answer.json()
            assert (created["repository"], created["stars"]) == ("copies/" + name, task["stars"])
            assert created["metadata_status"] == "current"
            assert created["metadata_fetched_at"] == setting.fetched[name]
        else:
            assert answer.json()["code"] == answer.status_code
    ended = time.monotonic()
    for copy in found:
        wait_for(lambda: is_asked_again(setting, found[copy], repositories[copy]))  # noqa: B023
    recovery = time.monotonic() - ended
    end = connections(url), descriptors(service)
    for copy, answer in answers.items():
        lost, doubled = lost_and_doubled(found[copy], url)
        report(
            f"GitHub: {name}, {'expired' if copy else 'no'} copy",
            tries=1,
            seen={answer.status_code: 1},
            recovery=f"{recovery:.2f} s",
            lost=lost,
            doubled=doubled,
            connections=f"{start[0]} → {end[0]}",
            descriptors=f"{start[1]} → {end[1]}",
            slowest=f"{found[copy].answers[0].seconds:.2f} s",
        )
        assert (lost, doubled) == (0, 0)
    assert recovery < 1 + MARGIN
    assert end[0] <= 2
    assert end[1] <= start[1] + 4  # a connection to GitHub, and a thread's view of the cache
    calls = github.calls[first_call:]
    assert {call.headers["Authorization"] for call in calls} == {f"Bearer {TOKEN}"}
    with pytest.raises(BlockingIOError):  # nobody has come
        setting.elsewhere.accept()


def serves_others(setting: Setting, task: dict[str, Any]) -> None:
    """See that the worker reads a task, and that what waits in it holds no connection."""
    assert setting.service.call("GET", f"/tasks/{task['id']}").json() == task
    assert busy_connections(setting.url) == 0


def is_asked_again(setting: Setting, found: Load, repository: str) -> bool:
    """See whether a new task comes of what GitHub says now."""
    calls = len(setting.github.calls)
    title = f"{len(found.answers)} after {found.answers[0].ended}"
    created = create(setting.service, found, title, repository).status_code == 201
    return created and len(setting.github.calls) > calls


def heeds_the_limit(setting: Setting, seconds: int) -> None:
    """See that a client is told to wait so long, and that GitHub is left alone meanwhile."""
    calls = len(setting.github.calls)
    answer = setting.service.post("fresh/limited")
    assert answer.status_code == 503
    assert max(seconds - 5, 1) <= int(answer.headers["Retry-After"]) <= seconds + 1
    if seconds > 1:
        assert len(setting.github.calls) == calls
        setting.forget_limit()


@pytest.mark.parametrize("name", ["huge", "gzip-bomb"])
def test_a_large_body_takes_little_memory(setting: Setting, name: str) -> None:
    status = Path(f"/proc/{workers(setting.service)[0].pid}/status")
    if not status.exists():
        pytest.skip("the system does not tell a process's peak")

    def peak() -> int:
        (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())
        return int(kilobytes)

    before = peak()
    with answering_with(setting, ALL_FAULTS[name]):
        assert setting.service.post(f"fresh/{name}").status_code in (201, 502)
    assert peak() - before < 20_000


def test_a_renamed_repository_is_followed_with_and_without_a_copy(
    setting: Setting, report: Callable[..., None]
) -> None:
    service, github, url = setting.service, setting.github, setting.url
    for copy in (False, True):
        found = Load()
        old, new = github.add(f"old/{copy}"), f"new/{copy}"
        if copy:
            task = create(service, found, f"before {copy}", old).json()
            time.sleep(EXPIRED)
        start = connections(url), descriptors(service)
        github.rename(old, new)
        answer = create(service, found, f"after {copy}", old)
        assert answer.status_code == 201
        assert answer.json()["repository"] == new
        if copy:
            there = service.call("GET", f"/tasks/{task['id']}").json()
            assert there["repository"] == new
        end = connections(url), descriptors(service)
        lost, doubled = lost_and_doubled(found, url)
        report(
            f"GitHub: 301 to a renamed repository, {'expired' if copy else 'no'} copy",
            tries=1,
            seen={answer.status_code: 1},
            recovery="0.00 s",
            lost=lost,
            doubled=doubled,
            connections=f"{start[0]} → {end[0]}",
            descriptors=f"{start[1]} → {end[1]}",
            slowest=f"{found.answers[-1].seconds:.2f} s",
        )
        assert (lost, doubled) == (0, 0)


def test_refused_connections_get_their_status_at_once_and_harm_nothing_else(
    environment: dict[str, str], tmp_path: Path, report: Callable[..., None]
) -> None:
    url, with_copy, without = environment["DATABASE_URL"], Load(), Load()
    with GitHub() as there:
        address = there.url
    port = urlsplit(address).port or 0
    with served({**environment, "GITHUB_API_BASE": address}, tmp_path / "output") as service:
        with GitHub(port):
            task = create(service, Load(), "before", FLASK).json()
        time.sleep(EXPIRED)
        before, start = rows(url), (connections(url), descriptors(service))
        assert create(service, without, "without", "git/git").status_code == 502
        assert rows(url) == before
        answer = create(service, with_copy, "with", FLASK)
        assert answer.status_code == 201
        assert answer.json()["metadata_fetched_at"] == task["metadata_fetched_at"]
        assert rows(url, besides="with") == before
        assert service.call("GET", f"/tasks/{task['id']}").json() == task
        with GitHub(port):
            ended = time.monotonic()
            assert create(service, without, "without", "git/git").status_code == 201
            recovery = time.monotonic() - ended
            assert create(service, with_copy, "with, again", FLASK).status_code == 201
            end = connections(url), descriptors(service)
        for copy, found in (("no", without), ("expired", with_copy)):
            lost, doubled = lost_and_doubled(found, url)
            report(
                f"GitHub: connection refused, {copy} copy",
                tries=1,
                seen={found.answers[0].status: 1},
                recovery=f"{recovery:.2f} s",
                lost=lost,
                doubled=doubled,
                connections=f"{start[0]} → {end[0]}",
                descriptors=f"{start[1]} → {end[1]}",
                slowest=f"{found.answers[0].seconds:.2f} s",
            )
            assert (lost, doubled) == (0, 0)
            assert found.answers[0].seconds < TIMEOUT + MARGIN
        assert end[0] <= 2
        assert end[1] <= start[1] + 8


@contextmanager
def repeated(number: int, work: Callable[[], object]) -> Iterator[None]:
    """Have threads do the work again and again until the block ends."""
    over = threading.Event()

    def repeat() -> None:
        while not over.is_set():
            work()

    with ThreadPoolExecutor(number) as threads:
        jobs = [threads.submit(repeat) for _ in range(number)]
        try:
            yield
        finally:
            over.set()
    for job in jobs:
        job.result()


def read_and_edit(service: Service, found: Load, path: str, titles: Iterator[int]) -> None:
    """Read a task and a list, and give the task a new title."""
    for method, where, options in (
        ("GET", path, {}),
        ("GET", "/tasks?limit=10", {}),
        ("PATCH", path, {"json": {"title": f"title {next(titles)}"}}),
    ):
        assert ask(service, found, method, where, **options).status_code == 200
    time.sleep(0.02)


class Readers:
    """Clients that read and edit, and how long that takes them."""

    def __init__(self, service: Service, clients: int = 3) -> None:
        self._service = service
        self._clients = clients
        self._titles = count()
        self._path = service.post(FLASK).headers["Location"]

    def measure(self, seconds: float) -> list[float]:
        """Read and edit for so long, and give what each request took."""
        found = Load()

        def work() -> None:
            read_and_edit(self._service, found, self._path, self._titles)

        with repeated(self._clients, work):
            time.sleep(seconds)
        return sorted(answer.seconds for answer in found.answers)


def percentile(seconds: list[float], share: float) -> float:
    return seconds[min(int(len(seconds) * share), len(seconds) - 1)]


def as_fast(silent: list[float], healthy: list[float]) -> None:
    """See that requests took no longer than others; both are sorted."""
    told = [(percentile(s, 0.5), percentile(s, 0.95), s[-1], len(s)) for s in (healthy, silent)]
    assert percentile(silent, 0.5) < 5 * percentile(healthy, 0.5), told
    assert percentile(silent, 0.95) < 5 * max(percentile(healthy, 0.95), 0.05), told
    assert silent[-1] < 1.5, told


@pytest.mark.slow
def test_reads_and_edits_stay_fast_while_far_more_wait_than_there_are_places(
    environment: dict[str, str], github: Gated, tmp_path: Path, report: Callable[..., None]
) -> None:
    url, found, numbers = environment["DATABASE_URL"], Load(), count()
    github.fault = Fault()  # it knows every repository
    with served(environment, tmp_path / "output") as service:
        readers = Readers(service)

        def creating() -> None:
            title = f"task {next(numbers)}"
            create(service, found, title, f"many/{title.replace(' ', '-')}")
            time.sleep(0.3)

        with repeated(20, creating):
            time.sleep(1)
            start = connections(url), descriptors(service)
            healthy = readers.measure(1)
            assert set(found.seen()) == {201}
            github.fault = FAULTS["silent"]
            began = time.monotonic()
            time.sleep(1)
            silent = readers.measure(2)
            ended = time.monotonic()
            github.fault = Fault()
            time.sleep(TIMEOUT + MARGIN)
        end = connections(url), descriptors(service)
        lost, doubled = lost_and_doubled(found, url)
        report(
            "GitHub: silent, 20 clients for 6 places",
            tries=len(found.answers),
            seen=found.seen(),
            recovery=f"{found.recovery(ended):.2f} s",
            lost=lost,
            doubled=doubled,
            connections=f"{start[0]} → {end[0]}",
            descriptors=f"{start[1]} → {end[1]}",
            slowest=f"{silent[-1]:.2f} s (reads and edits)",
        )
    as_fast(silent, healthy)
    assert (lost, doubled) == (0, 0)
    assert set(found.seen()) == {201, 503, 504}
    assert found.recovery(ended) < TIMEOUT + MARGIN
    refused = [a for a in found.answers if a.status == 503]
    assert len(refused) > 20
    assert all(a.seconds < MARGIN for a in refused if a.ended - a.seconds > began + SLOW)
    assert end[0] <= 2


@pytest.mark.slow
def test_with_the_defaults_two_hundred_that_wait_hold_up_no_reads(
    environment: dict[str, str], github: Gated, tmp_path: Path, report: Callable[..., None]
) -> None:
    url, found = environment["DATABASE_URL"], Load()
    defaults = dict.fromkeys(("GITHUB_CACHE_TTL", "GITHUB_TIMEOUT", "THREADS"), "")
    with served(
        {**environment, **defaults, "WEB_CONCURRENCY": "2"}, tmp_path / "output"
    ) as service:
        wait_for(lambda: len(workers(service)) == 2)
        readers = Readers(service)
        github.fault = Fault()
        healthy = readers.measure(1.5)
        with ThreadPoolExecutor(200) as threads:
            with github.holding():  # has the threads open what they keep
                first = Load()
                for n in range(200):
                    threads.submit(create, service, first, f"first {n}", f"first/{n}")
                wait_for(lambda: github.held + len(first.answers) == 200)
            wait_for(lambda: len(first.answers) == 200)
            start = connections(url), descriptors(service)
            with github.holding():
                creations = [
                    threads.submit(create, service, found, f"task {n}", f"many/{n}")
                    for n in range(200)
                ]
                wait_for(lambda: github.held + len(found.answers) == 200)
                assert 48 <= github.held <= 96  # the workers may share unevenly
                time.sleep(SLOW)
                assert busy_connections(url) == 0
                silent = readers.measure(2)
                held = github.held
                ended = time.monotonic()
            answers = [creation.result() for creation in creations]
        assert service.post("many/more").status_code == 201
        end = connections(url), descriptors(service)
        lost, doubled = lost_and_doubled(found, url)
        report(
            "GitHub: silent, 200 at once for 96 places",
            tries=200,
            seen=found.seen(),
            recovery=f"{found.recovery(ended):.2f} s",
            lost=lost,
            doubled=doubled,
            connections=f"{start[0]} → {end[0]}",
            descriptors=f"{start[1]} → {end[1]}",
            slowest=f"{silent[-1]:.2f} s (reads and edits)",
        )
    as_fast(silent, healthy)
    assert (lost, doubled) == (0, 0)
    assert found.seen() == {201: held, 503: 200 - held}
    assert all(int(a.headers["Retry-After"]) > 0 for a in answers if a.status_code == 503)
    assert end[0] <= 32
    assert end[1] <= start[1] + 40  # the workers share what comes in differently each time


def test_what_finds_no_place_is_answered_at_once(
    environment: dict[str, str], github: Gated, tmp_path: Path
) -> None:
    found = Load()
    patient = {**environment, "GITHUB_TIMEOUT": "15"}
    with served(patient, tmp_path / "output") as service, ThreadPoolExecutor(6) as threads:
        copy = create(service, found, "copy", FLASK).json()
        task, path = service.post("git/git").json(), f"/tasks/{copy['id']}"
        time.sleep(EXPIRED)
        with github.holding():
            waiting = [
                threads.submit(create, service, found, f"task {n}", github.add(f"many/{n}"))
                for n in range(6)
            ]
            wait_for(lambda: github.held == 6)
            time.sleep(SLOW)
            asked, known = len(found.answers), github.add("many/more")

            refused = [
                create(service, found, "refused", known),
                create(service, found, "refused", known, headers={"Idempotency-Key": "key"}),
                ask(service, found, "PATCH", path, json={"repository": known}),
                ask(service, found, "POST", f"{path}/refresh"),
            ]
            assert {answer.status_code for answer in refused} == {503}
            assert all(int(answer.headers["Retry-After"]) > 0 for answer in refused)

            answer = create(service, found, "old", FLASK)
            assert answer.status_code == 201
            assert answer.json()["metadata_fetched_at"] == copy["metadata_fetched_at"]

            answer = create(service, found, "pending", known, "?metadata=optional")
            assert (answer.status_code, answer.json()["metadata_status"]) == (201, "pending")

            answer = ask(service, found, "PATCH", f"/tasks/{task['id']}", json={"title": "new"})
            assert answer.status_code == 200

            assert all(answer.seconds < MARGIN for answer in found.answers[asked:])
            assert not any(creation.done() for creation in waiting)
            assert github.held == 6
        assert {creation.result().status_code for creation in waiting} == {201}
        again = create(service, found, "refused", known, headers={"Idempotency-Key": "key"})
        assert again.status_code == 201
        assert "Idempotency-Replayed" not in again.headers
        assert lost_and_doubled(found, environment["DATABASE_URL"]) == (0, 0)


def test_twenty_at_once_for_a_new_repository_share_one_slow_call(
    environment: dict[str, str], github: Gated, tmp_path: Path, report: Callable[..., None]
) -> None:
    url, found = environment["DATABASE_URL"], Load()
    github.fault = Fault(delay=2.0)
    defaults = {"THREADS": "", "GITHUB_TIMEOUT": "", "GITHUB_CACHE_TTL": ""}
    with served({**environment, **defaults}, tmp_path / "output") as service:
        with ThreadPoolExecutor(20) as threads:
            answers = list(
                threads.map(lambda n: create(service, found, f"task {n}", FLASK), range(20))
            )
        lost, doubled = lost_and_doubled(found, url)
        report(
            "GitHub: takes 2 s, 20 at once for one repository",
            tries=20,
            seen=found.seen(),
            recovery="0.00 s",
            lost=lost,
            doubled=doubled,
            slowest=f"{max(answer.seconds for answer in found.answers):.2f} s",
        )
    assert {answer.status_code for answer in answers} == {201}
    assert len(github.calls) == 1
    assert (lost, doubled) == (0, 0)


@pytest.mark.slow
def test_repeats_of_a_creation_that_waits_hold_up_no_reads(
    environment: dict[str, str], github: Gated, tmp_path: Path, report: Callable[..., None]
) -> None:
    url, found = environment["DATABASE_URL"], Load()

    def repeat() -> requests.Response:
        return create(service, found, "one", "git/git", headers={"Idempotency-Key": "key"})

    patient = {**environment, "GITHUB_TIMEOUT": "15"}
    with served(patient, tmp_path / "output") as service, ThreadPoolExecutor(21) as threads:
        readers = Readers(service)
        healthy = readers.measure(1)
        use_all_threads(service, github)
        start = connections(url), descriptors(service)
        with github.holding():
            creations = [threads.submit(repeat)]
            wait_for(lambda: github.held == 1)
            creations += [threads.submit(repeat) for _ in range(20)]
            wait_for(lambda: len(found.answers) == 15)  # 6 have places
            silent = readers.measure(1.5)
            assert github.held == 1
            ended = time.monotonic()
        answers = [creation.result() for creation in creations]
        end = connections(url), descriptors(service)
        lost, doubled = lost_and_doubled(found, url)
        report(
            "GitHub: silent, 20 repeats under a key",
            tries=21,
            seen=found.seen(),
            recovery=f"{found.recovery(ended):.2f} s",
            lost=lost,
            doubled=doubled,
            connections=f"{start[0]} → {end[0]}",
            descriptors=f"{start[1]} → {end[1]}",
            slowest=f"{silent[-1]:.2f} s (reads and edits)",
        )
        assert repeat().status_code == 201
    as_fast(silent, healthy)
    assert Counter(answer.status_code for answer in answers) == {201: 6, 503: 15}
    assert all(int(a.headers["Retry-After"]) > 0 for a in answers if a.status_code == 503)
    created = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.json()["id"] for answer in created}) == 1
    assert sum("Idempotency-Replayed" in answer.headers for answer in created) == 5
    assert [call.path for call in github.calls].count("/repos/git/git") == 1
    assert (lost, doubled) == (0, 0)
