"""The stand-in's rate limits and faults: each has the status, headers and body of GitHub's."""

import time
from typing import Any

import pytest
import requests

from tracker.demo import faults
from tracker.demo.github import FAULTS, Fault, GitHub, RateLimit
from tracker.github.names import is_full_name

FLASK = "pallets/flask"
NO_RESPONSE: dict[str, type[requests.RequestException]] = {
    "silent": requests.Timeout,
    "drip": requests.Timeout,
    "cut": requests.exceptions.ChunkedEncodingError,
    "closed": requests.ConnectionError,
    "bad-gzip": requests.exceptions.ContentDecodingError,
}


def get(github: GitHub, path: str, token: str | None = None, **headers: str) -> requests.Response:
    """Send a request without following redirects."""
    if token:
        headers["Authorization"] = f"Bearer {token}"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with requests.Session() as session:
        session.trust_env = False
        return session.get(github.url + path, headers=named, timeout=5, allow_redirects=False)


def repository(github: GitHub, token: str | None = None, **headers: str) -> requests.Response:
    return get(github, f"/repos/{FLASK}", token, **headers)


def remaining(response: requests.Response) -> int:
    return int(response.headers["X-RateLimit-Remaining"])


def test_calls_count_against_the_rate_limit(github: GitHub) -> None:
    github.remaining, github.reset = 2, time.time() + 60
    assert remaining(repository(github)) == 1
    assert remaining(get(github, "/repos/no/such")) == 0
    limited = repository(github)
    assert (limited.status_code, remaining(limited)) == (403, 0)
    assert limited.headers["X-RateLimit-Reset"] == str(int(github.reset))
    assert limited.json()["message"].startswith("API rate limit exceeded")


def test_a_304_is_free_with_a_token_alone(github: GitHub) -> None:
    etag = repository(github).headers["ETag"]
    github.remaining, github.reset = 5, time.time() + 60
    confirmed = repository(github, "any", If_None_Match=etag)
    assert (confirmed.status_code, remaining(confirmed)) == (304, 5)
    confirmed = repository(github, If_None_Match=etag)
    assert (confirmed.status_code, remaining(confirmed)) == (304, 4)


def test_the_rate_limit_ends(github: GitHub) -> None:
    github.limit(0.1)
    assert repository(github).status_code == 403
    time.sleep(0.15)
    assert repository(github).status_code == 200


def test_a_token_has_a_rate_limit_of_its_own(github: GitHub) -> None:
    github.limit(60, "old", None)
    assert repository(github).status_code == 403
    assert repository(github, "old").status_code == 403
    assert remaining(repository(github, "new")) == 5000
    github.rate_limits["new"] = RateLimit(1, time.time() + 60)
    assert remaining(repository(github, "new")) == 0
    assert repository(github, "new").status_code == 403
    assert repository(github, "newer").status_code == 200


@pytest.mark.parametrize(("token", "limit"), [(None, 60), ("any", 5000)])
def test_the_rate_limit_can_be_read_for_free(github: GitHub, token: str | None, limit: int) -> None:
    github.fault = FAULTS["503"]
    unlimited = get(github, "/rate_limit", token).json()
    core = unlimited["resources"]["core"]
    assert unlimited["rate"] == core
    assert (core["limit"], core["used"], core["remaining"]) == (limit, 0, limit)
    assert core["reset"] > time.time()
    github.remaining, github.reset = 3, 2e9
    for _ in range(2):
        core = get(github, "/rate_limit", token).json()["resources"]["core"]
        assert core == {"limit": limit, "used": limit - 3, "remaining": 3, "reset": 2 * 10**9}


def test_a_fault_is_shown_for_one_repository_or_for_all(github: GitHub) -> None:
    assert get(github, "/repos/faults/451").status_code == 451
    assert get(github, "/repos/faults/unknown").status_code == 404
    github.fault = Fault(418)
    assert repository(github).status_code == 418
    assert get(github, "/repos/faults/451").status_code == 451
    github.fault = None
    assert repository(github).status_code == 200


@pytest.mark.parametrize(
    "name", sorted(FAULTS.keys() - NO_RESPONSE.keys() - {"redirect-broken", "huge"})
)
def test_a_fault_has_its_status_and_headers(github: GitHub, name: str) -> None:
    response = get(github, f"/repos/faults/{name}")
    fault = FAULTS[name]
    assert response.status_code == fault.status
    assert is_full_name(f"faults/{name}")
    assert ("X-GitHub-Request-Id" in response.headers) == (not fault.by_proxy)
    for header in fault.headers.keys() - {"X-RateLimit-Reset", "Location"}:
        assert response.headers[header] == fault.headers[header]


@pytest.mark.parametrize("name", NO_RESPONSE)
def test_a_fault_may_end_without_a_response(github: GitHub, name: str) -> None:
    with pytest.raises(NO_RESPONSE[name]):
        requests.get(f"{github.url}/repos/faults/{name}", timeout=0.3)


@pytest.mark.parametrize("name", ["huge", "gzip-bomb"])
def test_a_body_may_be_larger_than_any_document(github: GitHub, name: str) -> None:
    assert len(get(github, f"/repos/faults/{name}").content) > 50_000_000


@pytest.mark.parametrize(
    ("name", "message", "documentation"),
    [
        ("401", "Bad credentials", "/rest"),
        ("401-must-authenticate", "Must authenticate to access this API.", "/rest"),
        ("403-limit", "API rate limit exceeded for", "rate-limits-for-the-rest-api"),
        ("403-secondary", "You have exceeded a secondary rate limit.", "rest-api"),
        ("403-abuse", "You have triggered an abuse detection mechanism.", "#abuse-rate-limits"),
        ("403-login-attempts", "Maximum number of login attempts exceeded.", "/rest"),
        ("403-saml", "Resource protected by organization SAML enforcement.", "single-sign-on/"),
        ("403-resource", "Resource not accessible by personal access token", "get-a-repository"),
        ("404", "Not Found", "get-a-repository"),
    ],
)  # fmt: skip
def test_a_refusal_has_githubs_message(
    github: GitHub, name: str, message: str, documentation: str
) -> None:
    response = get(github, f"/repos/faults/{name}")
    body = response.json()
    assert body["message"].startswith(message)
    assert body["documentation_url"].endswith(documentation)
    assert body["status"] == name[:3] == str(response.status_code)
    assert "Retry-After" not in response.headers
    assert (remaining(response) == 0) == (name == "403-limit")


@pytest.mark.parametrize(("name", "reason"), [("403-block", "tos"), ("451-dmca", "dmca")])
def test_a_blocked_repository_has_a_reason(github: GitHub, name: str, reason: str) -> None:
    body = get(github, f"/repos/faults/{name}").json()
    assert body["message"] == "Repository access blocked"
    assert body["block"].keys() == {"reason", "created_at", "html_url"}
    assert body["block"]["reason"] == reason
    assert body["block"]["html_url"].startswith("https://github.com/")


@pytest.mark.parametrize("name", faults.PROXY_RESPONSES)
def test_a_proxy_does_not_speak_as_github(github: GitHub, name: str) -> None:
    response = get(github, f"/repos/faults/{name}")
    assert response.headers.get("Server") != "github.com"
    assert "X-GitHub-Request-Id" not in response.headers
    if name == "404-not-api":
        assert response.json() == {"error": "not found"}
    else:
        assert response.headers["Content-Type"] == "text/html"
        assert response.text.startswith("<html>")


def test_a_missing_user_agent_gets_no_json(github: GitHub) -> None:
    response = get(github, "/repos/faults/403-user-agent")
    assert (response.status_code, response.headers["Content-Type"]) == (403, "text/html")
    assert "make sure your request has a User-Agent header" in response.text


@pytest.mark.parametrize(
    ("name", "location"),
    [("redirect-search", "/search/repositories?q=x"), ("redirect-user", "/user"),
     ("redirect-itself", "/repos/faults/redirect-itself"), ("redirect-nowhere", None)],
)  # fmt: skip
def test_a_redirect_may_lead_astray(github: GitHub, name: str, location: str | None) -> None:
    response = get(github, f"/repos/faults/{name}")
    assert (response.status_code, response.headers.get("Location")) == (301, location)


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("null-id", {"id": None}),
        ("foreign-url", {"html_url": "https://github.example/pallets/flask"}),
        ("other-url", {"html_url": "https://github.com/octocat/Hello-World"}),
        ("far-date", {"pushed_at": "9999-12-31T23:59:59-14:00"}),
        ("early-date", {"pushed_at": "0001-01-01T00:00:00+14:00"}),
        ("long-description", {"description": "d" * 1_000_000}),
        ("old-server", {"watchers": 70000}),
    ],
)
def test_a_document_may_be_unusual(github: GitHub, name: str, members: dict[str, Any]) -> None:
    document = get(github, f"/repos/faults/{name}").json()
    usual = repository(github).json()
    assert document == {n: v for n, v in usual.items() if n in document} | members


@pytest.mark.parametrize(
    ("name", "missing"),
    [("no-archived", {"archived"}), ("no-topics", {"topics"}), ("no-description", {"description"}),
     ("old-server", {"stargazers_count", "watchers_count", "archived", "disabled", "license",
                     "topics", "visibility"}),
     ("no-stars", {"stargazers_count", "watchers_count", "watchers"})],
)  # fmt: skip
def test_a_document_may_lack_members(github: GitHub, name: str, missing: set[str]) -> None:
    document = get(github, f"/repos/faults/{name}").json()
    assert repository(github).json().keys() - document.keys() == missing


def test_a_document_may_hold_control_characters_and_a_long_url(github: GitHub) -> None:
    document = get(github, "/repos/faults/control-characters").json()
    for member in ("description", "language"):
        assert {"\x1b", "\u202e"} <= set(document[member])
    assert len(get(github, "/repos/faults/long-url").json()["html_url"]) > 2_000


def test_each_fault_is_in_one_group() -> None:
    groups = [faults.RATE_LIMITS, faults.TOKEN_REFUSALS, faults.REPOSITORY_REFUSALS,
              faults.PROXY_RESPONSES, faults.FAILURES, faults.WRONG_DOCUMENTS,
              faults.UNUSUAL_DOCUMENTS]  # fmt: skip
    assert sorted(FAULTS) == sorted(name for group in groups for name in group)
