"""Which service the verbs speak to, and what they import for it."""

import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from command_line import Tracker
from helpers import GUNICORN, PATIENCE, ROOT, UNSET, copy_project, served, started, wait_for
from tracker import presence
from tracker.config import Settings
from tracker.database import migrations

TOKEN = "s3cret-token"


def test_flask_is_not_imported_where_a_service_runs(tracker: Tracker) -> None:
    tracker.add("pallets/flask", "One")
    code = """
import sys
from tracker.cli.verbs import verbs
verbs.main(["list", "-q"], standalone_mode=False)
print(sorted({"flask", "peewee", "psycopg2", "requests", "rich", "dotenv"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=tracker.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[1:] == ["[]"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout without a service."""
    return copy_project(tmp_path / "project")


def run(project: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        Tracker.command(*words),
        cwd=project,
        env={**UNSET, "PATH": os.environ["PATH"], "HOME": str(project), **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )


def test_with_no_service_the_application_runs_in_the_process(
    project: Path, environment: dict[str, str]
) -> None:
    # The token of the settings is used, and a response in parts arrives whole.
    variables = {**environment, "API_TOKEN": TOKEN, "PORT": "1"}
    added = run(project, "add", "pallets/flask", "One", "-q", **variables)
    assert (added.returncode, added.stderr) == (0, "")
    shown = run(project, "show", added.stdout.strip(), "--json", **variables)
    assert json.loads(shown.stdout)["title"] == "One"


@pytest.mark.slow  # beside a service, test_verbs.py has each error
def test_with_no_service_an_error_is_one_line(project: Path, environment: dict[str, str]) -> None:
    wrong = run(project, "show", "999", **environment, PORT="1")
    assert (wrong.returncode, wrong.stderr) == (1, "error: Task 999 does not exist.\n")


@pytest.mark.slow
def test_with_nothing_running_the_embedded_database_starts(project: Path) -> None:
    listed = run(project, "list", PORT="1")
    assert (listed.returncode, listed.stdout, listed.stderr) == (0, "", "No tasks.\n")
    assert not list((project / "instance" / "postgres").glob("postmaster.pid"))


def test_a_database_out_of_reach_is_one_line(project: Path) -> None:
    done = run(project, "list", PORT="1", DATABASE_URL="postgresql://u:pw@127.0.0.1:1/none")
    assert done.returncode == 5
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert "Connection refused; check that PostgreSQL runs, and the host and port" in done.stderr
    assert "pw@" not in done.stderr


def test_a_wrong_setting_is_named(project: Path) -> None:
    done = run(project, "list", PORT="many")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: PORT takes a whole number")


def test_a_remote_service_gets_its_own_token(
    project: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    with served({**environment, "API_TOKEN": TOKEN}, tmp_path / "output") as service:
        url = {"TRACKER_URL": f"http://127.0.0.1:{service.port}/"}
        assert run(project, "list", **url, TRACKER_TOKEN=TOKEN).returncode == 0
        for variables in (url, {**url, "TRACKER_TOKEN": "wrong"}, {**url, "API_TOKEN": TOKEN}):
            done = run(project, "list", **variables)
            assert done.returncode == 4
            assert "Set TRACKER_TOKEN." in done.stderr
        # The checkout's own service is found by its port, and gets the token of the settings.
        own = {"PORT": str(service.port), "API_TOKEN": TOKEN, "HOME": str(tmp_path)}
        done = subprocess.run(
            Tracker.command("list"), cwd=ROOT, env={**UNSET, **own}, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "No tasks.\n")


def test_another_program_on_our_port_gets_nothing(
    project: Path, environment: dict[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        variables = {**environment, "PORT": str(other.getsockname()[1]), "API_TOKEN": TOKEN}
        assert run(project, "list", **variables).returncode == 0
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()


@pytest.mark.slow  # the test before has another program on the port
@pytest.mark.skipif(sys.platform != "linux", reason="needs 127.0.0.2 on the loopback interface")
def test_another_address_of_our_port_gets_nothing(
    environment: dict[str, str], tmp_path: Path
) -> None:
    hidden = {**environment, "HOST": "127.0.0.2", "API_TOKEN": TOKEN}
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        started(GUNICORN, hidden, tmp_path / "output", port=other.getsockname()[1]) as service,
    ):
        wait_for(lambda: presence.find("127.0.0.2", service.port) is not None)
        assert presence.find("127.0.0.1", service.port) is None
        variables = {**environment, "PORT": str(service.port), "API_TOKEN": TOKEN}
        assert run(ROOT, "list", **variables).returncode == 0
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.accept()


def test_a_service_on_all_addresses_is_found(environment: dict[str, str], tmp_path: Path) -> None:
    with served({**environment, "HOST": "0.0.0.0"}, tmp_path / "output") as service:
        for host in ("127.0.0.1", "localhost", "0.0.0.0"):
            found = run(ROOT, "list", HOST=host, PORT=str(service.port), DATABASE_URL="dbname=none")
            assert (found.returncode, found.stderr) == (0, "No tasks.\n")
    assert presence.find("127.0.0.1", service.port) is None


def test_each_database_has_its_own_journal(
    tracker: Tracker, environment: dict[str, str], empty_database_url: str
) -> None:
    migrations.upgrade(Settings(database_url=empty_database_url))
    tracker.add("pallets/flask", "One")
    alone = {**environment, "PORT": "1"}
    other = tracker("undo", **alone | {"DATABASE_URL": empty_database_url})
    assert (other.returncode, other.stderr) == (1, "Nothing to undo.\n")
    assert tracker("undo", **alone).stderr == "Undid add: 1 task.\n"


@pytest.mark.parametrize(
    "url", ["ftp://x", "http://", "http://u:p@x", "http://x?y", "http://x:0", "http://["]
)
def test_a_wrong_address_is_wrong_usage(tracker: Tracker, url: str) -> None:
    done = tracker("list", TRACKER_URL=url)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: TRACKER_URL takes an http or https URL")


def test_a_wrong_token_is_wrong_usage(tracker: Tracker) -> None:
    done = tracker("list", TRACKER_URL="http://127.0.0.1:1", TRACKER_TOKEN="two words")
    message = "error: TRACKER_TOKEN takes a token of visible ASCII characters\n"
    assert (done.returncode, done.stderr) == (2, message)


@pytest.mark.parametrize(
    ("url", "token", "warning"),
    [
        ("http://127.0.0.1:{port}", TOKEN, ""),
        ("http://localhost:{port}", TOKEN, ""),
        ("http://0.0.0.0:{port}", TOKEN, "the token and the tasks"),
        ("http://0.0.0.0:{port}", "", "the tasks"),
        ("http://127.0.0.1.a..b", "", "the tasks"),
        ("https://a..b", TOKEN, ""),
    ],
)
def test_http_beyond_this_machine_is_warned_of(
    tracker: Tracker, url: str, token: str, warning: str
) -> None:
    address = url.format(port=tracker.service.port)
    done = tracker("list", TRACKER_URL=address, TRACKER_TOKEN=token)
    said = f"warning: {warning} cross the network unencrypted; use https\n"
    assert [line for line in done.stderr.splitlines(True) if "warning" in line] == (
        [said] if warning else []
    )
    assert TOKEN not in done.stderr


def test_a_token_follows_no_redirect(project: Path) -> None:
    head = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    done, seen = answered(project, head)
    assert done.returncode == 1
    said = "unusable response with status 302: redirects are not followed; check TRACKER_URL"
    assert done.stderr == f"error: {said}\n"
    assert len(seen) == 1


@pytest.mark.parametrize(
    "response",
    [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1"],
)
def test_a_broken_response_is_one_line(project: Path, response: bytes) -> None:
    done, _ = answered(project, response)
    assert done.returncode == 5, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")


def test_a_proxys_page_is_no_list(project: Path) -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"
    done, _ = answered(project, page)
    assert done.returncode == 1
    assert done.stderr == "error: unusable response: it is no JSON; check TRACKER_URL\n"


NEXT = '</steal>; rel="next"'


@pytest.mark.parametrize(
    ("words", "body", "link", "said"),
    [
        (["list"], "[1,2]", "", "it is no list of JSON objects"),
        (["list"], "{}", "", "it is no list of JSON objects"),
        (["list"], "[{}]", "", "it has no id"),
        (["list"], "[]", NEXT, "its next page has no cursor"),
        (["list", "1"], "[1,2]", "", "it is no JSON object"),
        (["list"], "[" * 100_000, "", "it is no JSON"),
        *(([verb, "1"], "[1,2]", "", "it is no JSON object") for verb in ("show", "done", "rm")),
        (["done", "1"], "{}", "", "it has no tags"),
        (["refresh", "1"], "[1,2]", "", "it is no JSON object"),
        (["add", "pallets/flask", "One"], "[1,2]", "", "it is no JSON object"),
    ],
)
def test_json_of_another_shape_is_one_line(
    tmp_path: Path, words: list[str], body: str, link: str, said: str
) -> None:
    head = f"HTTP/1.1 200 OK\r\nLink: {link}\r\nContent-Length: {len(body)}\r\n\r\n"
    done, _ = answered(ROOT, (head + body).encode(), *words, HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: unusable response: {said}; check TRACKER_URL\n"


def answered(
    project: Path, response: bytes, *words: str, **variables: str
) -> tuple[subprocess.CompletedProcess[str], list[bytes]]:
    """Run `list` or another verb against a server that sends these bytes and closes.

    The requests are returned too.
    """
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                seen.append(connection.recv(65536))
                connection.sendall(response)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        url_and_token = {"TRACKER_URL": url, "TRACKER_TOKEN": TOKEN}
        done = run(project, *(words or ["list"]), **url_and_token, **variables)
        thread.join()
    return done, seen
