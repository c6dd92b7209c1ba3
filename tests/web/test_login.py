"""Login: a token becomes a cookie, which stands for this token alone."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from tracker import create_app
from tracker.api import session
from tracker.config import Settings

from .conftest import HTML

TOKEN = "first-token"
HERE = {"Sec-Fetch-Site": "same-origin"}
TASK = {"title": "Read the docs", "repository": "pallets/flask"}


@pytest.fixture(autouse=True)
def fresh_attempts() -> Iterator[None]:
    yield
    session.wrong_tokens.clear()


def log_in(client: FlaskClient, token: str = TOKEN, **options: Any) -> Any:
    form = {"token": token, "next": options.pop("next", "/")}
    return client.post("/web/login", data=form, headers={**HTML, **HERE}, **options)


def test_a_page_leads_to_the_login_and_back(guarded: FlaskClient) -> None:
    response = guarded.get("/?status=open&q=a+b", headers=HTML)
    assert response.status_code == 303
    form = guarded.get(response.location, headers=HTML)
    target = re.search(r'name="next" value="([^"]*)"', form.text)
    assert target
    response = log_in(guarded, next=target[1].replace("&amp;", "&"))
    assert (response.status_code, response.location) == (303, "/?status=open&q=a+b")
    assert guarded.get(response.location, headers=HTML).status_code == 200
    assert guarded.get("/").status_code == 200


def test_the_cookie_is_strict_and_has_no_token(guarded: FlaskClient) -> None:
    cookie = log_in(guarded).headers["Set-Cookie"]
    assert cookie.startswith("tracker-http=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} < set(cookie.split("; "))
    assert "Secure" not in cookie
    assert TOKEN not in cookie
    cookie = log_in(guarded, base_url="https://localhost:8443").headers["Set-Cookie"]
    assert cookie.startswith("__Host-tracker-8443=")
    assert "; Secure" in cookie


def test_a_login_opens_the_api_but_only_for_our_own_page(guarded: FlaskClient) -> None:
    log_in(guarded)
    assert guarded.get("/tasks").status_code == 200
    assert guarded.post("/tasks", json=TASK, headers=HERE).status_code == 201
    assert (
        guarded.post("/tasks", json=TASK, headers={"Origin": "http://localhost"}).status_code == 201
    )
    for headers in ({}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://evil.example"}):
        assert guarded.post("/tasks", json=TASK, headers=headers).status_code == 403
    wrong = {**HERE, "Authorization": "Bearer wrong"}
    assert guarded.get("/tasks", headers=wrong).status_code == 401


def test_a_login_ends_with_its_own_token_alone(guarded: FlaskClient, settings: Settings) -> None:
    cookie = log_in(guarded).headers["Set-Cookie"].partition(";")[0]
    for tokens, status in (
        ("first-token", 200),
        ("new,first-token", 200),
        ("second-token", 401),
        ("first-token2", 401),
    ):
        client = create_app(replace(settings, api_token=tokens)).test_client(use_cookies=False)
        assert client.get("/tasks", headers={"Cookie": cookie}).status_code == status, tokens


def test_a_cookie_ends_after_30_days_and_can_not_be_changed(
    guarded: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, value = log_in(guarded).headers["Set-Cookie"].partition(";")[0].partition("=")
    client = guarded.application.test_client(use_cookies=False)

    def status(value: str) -> int:
        return client.get("/tasks", headers={"Cookie": f"{name}={value}"}).status_code

    assert status(value) == 200
    expires, nonce, signature = value.split(".")
    later = str(int(expires) + 1)
    for changed in (
        f"{later}.{nonce}.{signature}",
        f"{expires}.x.{signature}",
        value[:-1],
        "",
        "..",
    ):
        assert status(changed) == 401, changed
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 30 * 86_400 - 60)
    assert status(value) == 200
    monkeypatch.setattr(time, "time", lambda: now + 30 * 86_400 + 60)
    assert status(value) == 401


def test_a_logout_deletes_the_cookie(guarded: FlaskClient) -> None:
    log_in(guarded)
    assert "Log out" in guarded.get("/", headers=HTML).text
    assert guarded.post("/web/logout", headers={**HTML, **HERE}).location == "/web/login"
    assert guarded.get("/tasks").status_code == 401


@pytest.mark.parametrize("headers", [HTML, {}])
def test_a_wrong_token_is_told_how_to_authenticate(
    guarded: FlaskClient, client: FlaskClient, headers: dict[str, str]
) -> None:
    for service, message in (
        (guarded, "The token is wrong; use one of those in API_TOKEN."),
        (client, "No login is needed: the service has no API_TOKEN."),
    ):
        response = service.post("/web/login", data={"token": "x"}, headers={**headers, **HERE})
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="tasks"'
        assert message in response.text


def test_ten_wrong_tokens_a_minute_stop_the_eleventh(
    guarded: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert log_in(guarded).status_code == 303
    for number in range(10):
        response = log_in(guarded, f"wrong-{number}")
        assert response.status_code == 401
        assert "The token is wrong" in response.text
    for token in ("wrong", TOKEN):
        response = log_in(guarded, token)
        assert response.status_code == 429
        assert 0 < int(response.headers["Retry-After"]) <= 60
        assert "Too many wrong tokens" in response.text
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert log_in(guarded).status_code == 303


@pytest.mark.parametrize("target", ["//evil.example", "/\\evil.example", "https://evil.example"])
def test_a_login_leads_to_this_service_only(guarded: FlaskClient, target: str) -> None:
    assert log_in(guarded, next=target).location == "/"
    assert "evil" not in guarded.get("/web/login", query_string={"next": target}, headers=HTML).text


def test_a_link_from_another_site_finds_the_login(guarded: FlaskClient) -> None:
    log_in(guarded)
    visitor = guarded.application.test_client(use_cookies=False)
    navigation = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", **HTML}
    # Browsers send no strict cookie with it; the page that it gets asks again, with the cookie.
    response = visitor.get("/?add=x", headers={**navigation, "Sec-Fetch-Site": "cross-site"})
    assert 'content="0; url=/?add=x"' in response.text
    response = visitor.get("/?add=x", headers={**navigation, "Sec-Fetch-Site": "same-origin"})
    assert response.location == "/web/login?next=/?add%3Dx"
    assert guarded.get("/?add=x", headers={**navigation, **HERE}).status_code == 200


def test_a_form_of_another_site_is_refused(guarded: FlaskClient) -> None:
    log_in(guarded)
    for path in ("/web/login", "/web/logout", "/web/tasks", "/web/rows", "/web/tasks/1"):
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://evil.example"}):
            assert guarded.post(path, headers=headers).status_code == 403
