"""The stand-in for GitHub: it behaves as GitHub documents, and shows faults on request."""

import subprocess
import sys
from datetime import datetime
from typing import Any

import pytest
import requests

from tracker.config import ROOT
from tracker.demo.github import GitHub

FLASK = "pallets/flask"


def get(url: str, **headers: str) -> requests.Response:
    """Send a request with these headers; underscores in their names become hyphens."""
    with requests.Session() as session:
        session.trust_env = False
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named = {"Accept-Encoding": "identity"} | named
        return session.get(url, headers=named, timeout=5, allow_redirects=False)


def repository(github: GitHub, name: str, **headers: str) -> requests.Response:
    return get(f"{github.url}/repos/{name}", **headers)


def test_it_has_some_twenty_repositories_as_github_describes_them(github: GitHub) -> None:
    assert 20 <= len(github.repositories) <= 25
    assert len({each["id"] for each in github.repositories.values()}) == len(github.repositories)
    for name in github.repositories:
        response = repository(github, name)
        document = response.json()
        assert (response.status_code, document["full_name"]) == (200, name)
        assert document["html_url"] == f"https://github.com/{name}"
        stars = {document[n] for n in ("stargazers_count", "watchers_count", "watchers")}
        assert stars == {github.repositories[name]["stars"]}
        assert (document["private"], document["visibility"]) == (False, "public")
        assert document["disabled"] is False
        assert document["fork"] is (name == "microsoft/git")
        assert all(isinstance(topic, str) for topic in document["topics"])
        assert {"description", "homepage", "language", "archived", "default_branch"} <= set(
            document
        )
        assert datetime.strptime(document["pushed_at"], "%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.parametrize(
    ("spdx_id", "key", "name"),
    [
        ("MIT", "mit", "MIT License"),
        ("Apache-2.0", "apache-2.0", "Apache License 2.0"),
        ("0BSD", "0bsd", "0BSD"),
        ("NOASSERTION", "other", "Other"),
    ],
)
def test_a_license_has_a_key_a_name_and_an_id(
    github: GitHub, spdx_id: str, key: str, name: str
) -> None:
    github.repositories[FLASK]["license"] = spdx_id
    described = repository(github, FLASK).json()["license"]
    url = None if key == "other" else f"{github.url}/licenses/{key}"
    assert described == {"key": key, "name": name, "spdx_id": spdx_id, "url": url}


def test_members_that_a_repository_lacks_have_a_default(github: GitHub) -> None:
    github.repositories["a/b"] = {"id": 7, "full_name": "a/b", "stars": 1}
    document = repository(github, "a/b").json()
    assert (document["topics"], document["homepage"], document["license"]) == ([], None, None)
    assert (document["archived"], document["fork"], document["disabled"]) == (False, False, False)


@pytest.mark.parametrize(
    ("members", "visibility"),
    [
        ({"visibility": "private"}, "private"),
        ({"visibility": "internal"}, "internal"),
        ({"private": True}, "private"),
    ],
)
def test_only_a_token_sees_a_private_repository(
    github: GitHub, members: dict[str, Any], visibility: str
) -> None:
    github.repositories[FLASK] |= members
    assert repository(github, FLASK).status_code == 404
    document = repository(github, FLASK, Authorization="Bearer t").json()
    assert (document["private"], document["visibility"]) == (True, visibility)


def test_letter_case_does_not_matter(github: GitHub) -> None:
    assert repository(github, "PALLETS/Flask").json()["full_name"] == FLASK


@pytest.mark.parametrize("path", ["/repos/no/such", "/repos/flask", "/repositories/1", "/", "/x"])
def test_an_unknown_path_is_404(github: GitHub, path: str) -> None:
    response = get(github.url + path)
    assert (response.status_code, response.json()["message"]) == (404, "Not Found")
    assert response.json()["status"] == "404"


def test_an_etag_is_confirmed_until_the_repository_changes(github: GitHub) -> None:
    etag = repository(github, FLASK).headers["ETag"]
    confirmed = repository(github, FLASK, If_None_Match=etag)
    assert (confirmed.status_code, confirmed.headers["ETag"]) == (304, etag)
    assert confirmed.content == b""
    github.repositories[FLASK]["stars"] += 1
    changed = repository(github, FLASK, If_None_Match=etag)
    assert changed.status_code == 200
    assert changed.headers["ETag"] != etag


def test_it_compresses_for_clients_that_accept_gzip(github: GitHub) -> None:
    plain = repository(github, FLASK)
    compressed = repository(github, FLASK, Accept_Encoding="gzip, deflate")
    assert "Content-Encoding" not in plain.headers
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert int(compressed.headers["Content-Length"]) < len(plain.content)
    assert compressed.content == plain.content


@pytest.mark.parametrize("name", ["mitsuhiko/flask", "Mitsuhiko/FLASK"])
def test_an_old_name_redirects_to_the_id(github: GitHub, name: str) -> None:
    response = repository(github, name)
    location = f"{github.url}/repositories/596892"
    assert (response.status_code, response.headers["Location"]) == (301, location)
    assert "ETag" not in response.headers
    assert get(location).json()["full_name"] == FLASK


def test_a_repository_renamed_twice_is_found_by_all_names(github: GitHub) -> None:
    github.rename(FLASK, "pallets/bottle")
    github.rename("pallets/bottle", "pallets/jar")
    for name in ("mitsuhiko/flask", FLASK, "pallets/bottle"):
        location = repository(github, name).headers["Location"]
        assert get(location).json()["full_name"] == "pallets/jar"
    github.rename("pallets/jar", FLASK)
    github.rename("octocat/Hello-World", "octocat/hello")
    assert repository(github, "octocat/Hello-World").status_code == 301
    assert repository(github, FLASK).status_code == 200
    assert repository(github, "pallets/jar").status_code == 301


def test_a_repository_can_be_deleted_and_created_anew(github: GitHub) -> None:
    deleted = github.repositories.pop(FLASK)
    assert repository(github, FLASK).status_code == 404
    github.repositories[FLASK] = {**deleted, "id": 7, "stars": 0}
    assert repository(github, FLASK).json()["id"] == 7
    assert get(f"{github.url}/repositories/{deleted['id']}").status_code == 404


def test_two_repositories_can_swap_their_names(github: GitHub) -> None:
    flask, git = github.repositories[FLASK], github.repositories["git/git"]
    github.repositories |= {
        FLASK: {**git, "full_name": FLASK},
        "git/git": {**flask, "full_name": "git/git"},
    }
    assert repository(github, FLASK).json()["id"] == git["id"]
    assert repository(github, "git/git").json()["id"] == flask["id"]
    assert get(f"{github.url}/repositories/{git['id']}").json()["full_name"] == FLASK


def test_a_request_without_user_agent_is_refused(github: GitHub) -> None:
    response = repository(github, FLASK, User_Agent="")
    assert (response.status_code, response.headers["Content-Type"]) == (403, "text/html")
    assert "User-Agent" in response.text


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
    assert repository(github, FLASK, **headers).status_code == status


def test_an_enterprise_server_has_its_api_under_a_path() -> None:
    with GitHub(enterprise=True) as github:
        assert github.url.endswith("/api/v3")
        document = repository(github, FLASK).json()
        assert document["html_url"] == "https://127.0.0.1/pallets/flask"
        assert document["url"] == f"{github.url}/repos/{FLASK}"
        assert get(repository(github, "mitsuhiko/flask").headers["Location"]).json() == document
        assert repository(github, "faults/451").status_code == 451
        page = get(f"{github.url.removesuffix('/api/v3')}/repos/{FLASK}")
        assert (page.status_code, page.headers["Content-Type"]) == (404, "text/html")


def test_it_records_the_calls(github: GitHub) -> None:
    repository(github, "no/such", X_Answer="42")
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
        assert get(f"{url}/repos/{FLASK}").status_code == 200
        process.stdin.close()
        assert process.wait(5) == 0
