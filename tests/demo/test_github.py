"""The stand-in for GitHub: it behaves as GitHub documents, or there is no trusting the rest."""

import gzip
import http.client
import json
import subprocess
import sys
import time
from email.message import Message
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from tracker.config import ROOT
from tracker.demo.github import Fault, GitHub


class Answer(NamedTuple):
    """What the stand-in answered."""

    status: int
    headers: Message
    body: bytes


def ask(url: str, path: str, **headers: str) -> Answer:
    """Ask for a path, with just these headers; underscores in their names are hyphens."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        connection.putrequest("GET", path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def ask_for(github: GitHub, name: str, **headers: str) -> Answer:
    return ask(github.url, f"/repos/{name}", User_Agent="tests", **headers)


def test_it_knows_some_twenty_repositories_as_github_tells_them(github: GitHub) -> None:
    assert 20 <= len(github.repositories) <= 25
    ids = {repository["id"] for repository in github.repositories.values()}
    assert len(ids) == len(github.repositories)
    for name in github.repositories:
        status, _, body = ask_for(github, name)
        document = json.loads(body)
        assert (status, document["full_name"]) == (200, name)
        assert document["html_url"] == f"https://github.com/{name}"
        assert isinstance(document["stargazers_count"], int)
        assert {"description", "language", "archived", "pushed_at"} <= document.keys()


def test_letter_case_does_not_matter(github: GitHub) -> None:
    assert json.loads(ask_for(github, "PALLETS/Flask").body)["full_name"] == "pallets/flask"


@pytest.mark.parametrize("path", ["/repos/no/such", "/repos/flask", "/repositories/1", "/", "/x"])
def test_what_it_does_not_know_is_404(github: GitHub, path: str) -> None:
    status, _, body = ask(github.url, path, User_Agent="tests")
    assert (status, json.loads(body)["message"]) == (404, "Not Found")


def test_an_etag_is_confirmed_until_the_repository_changes(github: GitHub) -> None:
    etag = ask_for(github, "pallets/flask").headers["ETag"]
    status, headers, body = ask_for(github, "pallets/flask", If_None_Match=etag)
    assert (status, headers["ETag"], body) == (304, etag, b"")
    github.repositories["pallets/flask"]["stars"] += 1
    status, headers, _ = ask_for(github, "pallets/flask", If_None_Match=etag)
    assert status == 200
    assert headers["ETag"] != etag


def test_it_compresses_for_who_can_read_it(github: GitHub) -> None:
    plain = ask_for(github, "pallets/flask")
    compressed = ask_for(github, "pallets/flask", Accept_Encoding="gzip, deflate")
    assert plain.headers["Content-Encoding"] is None
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(compressed.body) == plain.body


@pytest.mark.parametrize("name", ["mitsuhiko/flask", "Mitsuhiko/FLASK"])
def test_an_old_name_redirects_to_the_id(github: GitHub, name: str) -> None:
    status, headers, _ = ask_for(github, name)
    assert (status, headers["Location"]) == (301, f"{github.url}/repositories/596892")
    followed = ask(github.url, "/repositories/596892", User_Agent="tests")
    assert json.loads(followed.body)["full_name"] == "pallets/flask"


def test_a_repository_can_be_renamed(github: GitHub) -> None:
    github.rename("pallets/flask", "pallets/bottle")
    assert ask_for(github, "pallets/flask").status == 301
    assert json.loads(ask_for(github, "pallets/bottle").body)["full_name"] == "pallets/bottle"


def test_a_request_without_user_agent_is_refused(github: GitHub) -> None:
    assert ask(github.url, "/repos/pallets/flask").status == 403


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Authorization": "Bearer right"}, 200),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "right"}, 401),
    ],
)
def test_a_wrong_token_is_rejected(github: GitHub, headers: dict[str, str], status: int) -> None:
    github.token = "right"
    assert ask_for(github, "pallets/flask", **headers).status == status


def remaining(answer: Answer) -> int:
    return int(answer.headers["X-RateLimit-Remaining"])


def test_calls_count_against_the_rate_limit(github: GitHub) -> None:
    github.remaining, github.reset = 2, time.time() + 60
    assert remaining(ask_for(github, "pallets/flask")) == 1
    assert remaining(ask_for(github, "no/such")) == 0
    status, headers, body = ask_for(github, "pallets/flask")
    assert status == 403
    assert headers["X-RateLimit-Remaining"] == "0"
    assert int(headers["X-RateLimit-Reset"]) == int(github.reset)
    assert "rate limit" in json.loads(body)["message"]


def test_a_304_is_free_with_a_token_alone(github: GitHub) -> None:
    etag = ask_for(github, "pallets/flask").headers["ETag"]
    github.remaining, github.reset = 5, time.time() + 60
    confirmed = ask_for(github, "pallets/flask", If_None_Match=etag, Authorization="Bearer any")
    assert (confirmed.status, remaining(confirmed)) == (304, 5)
    confirmed = ask_for(github, "pallets/flask", If_None_Match=etag)
    assert (confirmed.status, remaining(confirmed)) == (304, 4)


def test_the_rate_limit_ends(github: GitHub) -> None:
    github.limit(0.1)
    assert ask_for(github, "pallets/flask").status == 403
    time.sleep(0.15)
    assert ask_for(github, "pallets/flask").status == 200


def test_the_rate_limit_can_be_read_for_free(github: GitHub) -> None:
    github.limit(60)
    limits: dict[str, Any] = json.loads(ask(github.url, "/rate_limit", User_Agent="tests").body)
    assert limits["resources"]["core"]["remaining"] == 0


def test_it_misbehaves_for_one_repository_or_for_all(github: GitHub) -> None:
    assert ask_for(github, "faults/451").status == 451
    assert ask_for(github, "faults/unknown").status == 404
    github.fault = Fault(418)
    assert ask_for(github, "pallets/flask").status == 418
    assert ask_for(github, "faults/451").status == 451
    github.fault = None
    assert ask_for(github, "pallets/flask").status == 200


def test_it_remembers_the_calls(github: GitHub) -> None:
    ask_for(github, "no/such", X_Answer="42")
    [call] = github.calls
    assert (call.path, call.status, call.headers["X-Answer"]) == ("/repos/no/such", 404, "42")


def test_it_serves_until_its_standard_input_closes() -> None:
    command = [sys.executable, "-c", "from tracker.demo.github import main; main()"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert ask(url, "/repos/pallets/flask", User_Agent="tests").status == 200
        process.stdin.close()
        assert process.wait(5) == 0
