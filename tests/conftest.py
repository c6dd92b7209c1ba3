"""Fixtures: a real PostgreSQL, a stand-in for GitHub, the application, and its clients.

The client checks each response against the OpenAPI document.
"""

import gc
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import jsonschema_rs
import psycopg2
import psycopg2.extensions
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

from citus import StatementLint
from helpers import SHARED
from tracker import create_app
from tracker.application import connect
from tracker.config import Settings
from tracker.database import migrations
from tracker.database.changes import Change, FormerName, StarCount
from tracker.database.connection import database
from tracker.database.models import IdempotencyKey, Task
from tracker.demo.github import GitHub
from tracker.postgres import server as embedded

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MEMORY = Path("/dev/shm")
MEMORY_NEEDED = 4 * 2**30  # bytes
NAMES = (
    *("DATABASE_URL", "GITHUB_API_BASE", "GITHUB_CACHE", "GITHUB_TIMEOUT", "GITHUB_TOKEN"),
    "TRACKER_CWD",  # of the launcher that has started the tests
)


for name, examples in {"quick": 10, "thorough": 200}.items():  # --hypothesis-profile chooses
    hypothesis.settings.register_profile(
        name,
        max_examples=examples,
        deadline=None,
        suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
    )
hypothesis.settings.load_profile("quick")


def pytest_configure(config: pytest.Config) -> None:
    """Keep compiled modules, and temporary files in memory; create a folder for all workers.

    Else each of some hundred processes compiles the modules anew, and PostgreSQL waits for the
    disk at each start and stop.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK):
        flags = os.statvfs(MEMORY).f_flag
        if not flags & os.ST_NOEXEC and shutil.disk_usage(MEMORY).free > MEMORY_NEEDED:
            os.environ["TMPDIR"] = tempfile.tempdir = str(MEMORY)
    if SHARED not in os.environ:  # a worker has it from the process that has started it
        folder = os.environ[SHARED] = tempfile.mkdtemp(prefix="tracker-tests-")
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_collection_finish() -> None:
    """Keep what is imported by now out of each garbage collection: a tenth of the tests' time."""
    gc.freeze()


@pytest.fixture(scope="session")
def lint() -> Iterator[StatementLint]:
    """The lint of all statements that this process sends through Peewee."""
    handler = StatementLint()
    logger = logging.getLogger("peewee")
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield handler
    logger.removeHandler(handler)
    logger.level, logger.propagate = before


@pytest.fixture(autouse=True)
def accepted_by_citus(lint: StatementLint) -> Iterator[None]:
    """Fail a test that sends a statement which Citus refuses."""
    yield
    refused, lint.refused = lint.refused, []
    assert not refused, "\n".join(refused)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Connection parameters of a PostgreSQL: DATABASE_URL's, or an embedded one's superuser."""
    if url := os.environ.get("DATABASE_URL"):
        yield psycopg2.extensions.parse_dsn(url)
        return
    folder = tmp_path_factory.mktemp("server") / "postgres"
    # The data end with the tests, and a slow disk would let them run into timeouts. Each login
    # would hash the password 4,096 times, in the client and in the server.
    with embedded.running(folder, {"fsync": "off", "scram_iterations": "1"}):
        yield embedded.superuser_parameters(folder)


@pytest.fixture(scope="session")
def database_url(server: dict[str, Any]) -> Iterator[str]:
    """A database on the server, with the schema."""
    with _new_database(server) as url:
        migrations.upgrade(Settings(database_url=url))
        yield url
        if not database.deferred:
            database.close_idle()


@pytest.fixture
def empty_database_url(server: dict[str, Any]) -> Iterator[str]:
    """A database without tables, for one test."""
    with _new_database(server) as url:
        yield url


@pytest.fixture
def latin1_database_url(server: dict[str, Any]) -> Iterator[str]:
    """A database with another encoding than UTF8."""
    options = "TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'"
    with _new_database(server, options) as url:
        yield url


@contextmanager
def _new_database(server: dict[str, Any], options: str = "") -> Iterator[str]:
    name = f"tracker_test_{uuid.uuid4().hex[:12]}"
    with closing(psycopg2.connect(**server)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"CREATE DATABASE {name} {options}")
        try:
            yield psycopg2.extensions.make_dsn(**{**server, "dbname": name})
        finally:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def clear(url: str) -> None:
    """Delete everything that tests have stored in the database."""
    models = (Task, FormerName, IdempotencyKey, Change, StarCount)
    _cursor(url).execute(";".join(f"DELETE FROM {model._meta.table_name}" for model in models))


@cache
def _cursor(url: str) -> Any:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    return connection.cursor()


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """A browser; without one, the test is skipped."""
    from browser import launched  # Playwright takes a while to import, and few tests need it

    with launched() as browser:
        yield browser


@pytest.fixture
def github() -> Iterator[GitHub]:
    """A stand-in for GitHub, on a socket of its own."""
    with GitHub() as stand_in:
        yield stand_in


@pytest.fixture
def settings(database_url: str, github: GitHub) -> Settings:
    """Settings for this test's database and GitHub, with an empty cache."""
    return Settings(
        database_url=database_url,
        github_api_base=github.url,
        github_cache="memory",
        github_timeout=2.0,
        database_pool_size=4,
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """The application; everything that the test stored is deleted after it.

    Tests whose settings differ in GitHub's address alone share it, so they must not extend it.
    """
    app = _application(replace(settings, github_api_base=Settings.github_api_base))
    connect(app, settings)
    yield app
    database.close_idle()
    clear(settings.database_url)


@cache
def _application(settings: Settings) -> Flask:
    app = create_app(settings)
    app.test_client_class = ConformingClient
    return app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of the application."""
    return app.test_client()


@pytest.fixture
def environment(database_url: str, github: GitHub, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a process that shares this test's database and GitHub."""
    yield _environment(database_url, github, str(tmp_path / "github-cache.sqlite"), tmp_path)
    clear(database_url)


@pytest.fixture(scope="module")
def module_github() -> Iterator[GitHub]:
    """A stand-in for GitHub, for the service of a module."""
    with GitHub() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def module_environment(
    database_url: str, module_github: GitHub, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The environment of a service that the tests of a module share."""
    home = tmp_path_factory.mktemp("home")
    yield _environment(database_url, module_github, "memory", home)
    clear(database_url)


def _environment(database_url: str, github: GitHub, cache: str, home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    return kept | {
        "DATABASE_URL": database_url,
        "GITHUB_API_BASE": github.url,
        "GITHUB_CACHE": cache,
        "GITHUB_TIMEOUT": "2",
        "XDG_STATE_HOME": str(home / ".local" / "state"),  # a journal of its own
    }


@pytest.fixture
def embedded_environment(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An environment with a new embedded database."""
    return {**environment, "DATABASE_URL": f"embedded:{tmp_path / 'postgres'}"}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """The log file of a process, in a folder that no other process names."""
    return tmp_path / "output"


ERROR = {"$ref": "#/components/schemas/Error"}
UNDOCUMENTED = {"/", "/docs", "/docs/docs.js", "/docs/{name}", "/openapi.json", "/broken"}


class ConformingClient(FlaskClient):
    """Flask's test client; a response that the OpenAPI document does not allow fails the test."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        """Send a request, and check its response."""
        response = super().open(*args, **kwargs)
        check(self.application, response)
        return response


def check(app: Flask, response: TestResponse) -> None:
    """Compare a response with the document: its operation's, or the schema of errors."""
    operation = _operation(app, response)
    if response.status_code == 308:  # to the path without a slash at its end
        return
    if operation is None:
        page = response.mimetype == "text/html" and "Accept" in response.request.headers
        if response.status_code >= 400 and response.request.method != "HEAD" and not page:
            _validate(app, "application/json", ERROR, response)
        return
    declared = operation["responses"].get(str(response.status_code))
    assert declared is not None, f"{response.request.path} declares no {response.status_code}"
    content = declared.get("content")
    if content is None or response.request.method == "HEAD":
        assert response.data == b""
    else:
        assert response.mimetype
        assert response.mimetype in content
        _validate(app, response.mimetype, content[response.mimetype]["schema"], response)
    described = {"Content-Disposition", "ETag", "Link", "Location", "Retry-After"}
    for name in described & set(response.headers.keys()):
        if name != "ETag" or response.status_code != 412:
            assert name in declared["headers"], f"{response.request.path} declares no {name}"


def _operation(app: Flask, response: TestResponse) -> dict[str, Any] | None:
    request = response.request
    try:
        rule, _ = app.url_map.bind("localhost").match(
            request.path, method=request.method, return_rule=True
        )
    except HTTPException:
        return None
    path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(rule))
    page = path in UNDOCUMENTED or path.startswith("/web/")
    if page or request.method == "OPTIONS":
        return None
    method = request.method.lower().replace("head", "get")
    operation: dict[str, Any] = _document(app)["paths"][path][method]
    return operation


def _validate(app: Flask, media_type: str, schema: dict[str, Any], response: TestResponse) -> None:
    assert response.mimetype == media_type
    key = json.dumps(schema), _with_token(app)
    if key not in _validators:
        whole = {**schema, "components": _document(app)["components"]}
        _validators[key] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    _validators[key].validate(response.get_json() if response.is_json else response.text)


_validators: dict[tuple[str, bool], jsonschema_rs.Draft202012Validator] = {}
_documents: dict[bool, dict[str, Any]] = {}


def _document(app: Flask) -> dict[str, Any]:
    # Generated once for all applications of a kind: only the token changes the document.
    with_token = _with_token(app)
    if with_token not in _documents:
        _documents[with_token] = app.extensions["openapi"]()
    return _documents[with_token]


def _with_token(app: Flask) -> bool:
    return app.config["SETTINGS"].api_token is not None


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Add a row to the table of faults at the end of the tests' output."""
    return lambda fault, **columns: record_property("fault", {"fault": fault, **columns})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the measurements of the failure tests as a Markdown table, where `-m` selects them."""
    if terminalreporter.config.getoption("markexpr") == "not slow and not cluster":
        return
    tests = [test for tests in terminalreporter.stats.values() for test in tests]
    rows = [
        value
        for test in tests
        if getattr(test, "when", None) == "call"
        for name, value in test.user_properties
        if name == "fault"
    ]
    if not rows:
        return
    columns = list(dict.fromkeys(name for row in rows for name in row))
    terminalreporter.section("faults")
    for cells in (
        columns,
        ["---"] * len(columns),
        *([str(row.get(c, "")) for c in columns] for row in rows),
    ):
        terminalreporter.write_line(f"| {' | '.join(cells)} |")
