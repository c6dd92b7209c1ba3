"""Behind nginx: links, redirects and log lines are those of the client's view."""

import json
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

import pytest

from helpers import Service, free_port, served, wait_for
from nginx import example_with_tls, new_certificate, running_nginx
from tracker.api.parsing import QUERY_MAX
from tracker.config import Settings
from tracker.database import migrations

NAME = "tracker.example.com"
CLIENT, PROXY, OTHER_PROXY = "127.0.0.9", "127.0.0.2", "127.0.0.3"
TASK = {"title": "Read the docs", "repository": "pallets/flask"}

# Each location, by the path that it serves, has the settings of one way to configure nginx.
LOCATIONS = {
    "/http-host/": "proxy_set_header Host $http_host;",
    "/host/": "proxy_set_header Host $host;",
    "/forwarded-host/": "proxy_set_header X-Forwarded-Host $http_host;",
    "/no-host/": "",
    "/not-named/": "proxy_set_header Host $http_host;",
    "/two-schemes/": "proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Ssl on;",
}
LOCATION = """
location {path} {{
    proxy_pass http://instance/;
    proxy_bind {proxy};
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Forwarded-Prefix {path};
    {settings}
}}
"""


@pytest.fixture(scope="module")
def behind_nginx(
    module_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, Service]]:
    """An nginx as if on another machine, and the service, which believes that machine."""
    folder = tmp_path_factory.mktemp("behind")
    port, instance = free_port(), free_port()
    configuration = f"upstream instance {{ server 127.0.0.1:{instance}; }}"
    configuration += f"server {{ listen 127.0.0.1:{port};"
    for path, settings in LOCATIONS.items():
        proxy = OTHER_PROXY if path == "/not-named/" else PROXY
        configuration += LOCATION.format(path=path, proxy=proxy, settings=settings)
    configuration += "}"
    environment = {**module_environment, "TRUSTED_HOSTS": NAME, "WEB_CONCURRENCY": "1"}
    environment["FORWARDED_ALLOW_IPS"] = PROXY
    if socket.has_dualstack_ipv6():  # its peers look like ::ffff:127.0.0.2
        environment["HOST"] = "::ffff:127.0.0.1"
    with (
        served(environment, folder / "output", port=instance) as service,
        running_nginx(configuration, environment, folder / "nginx", port) as nginx,
    ):
        for _ in range(2):
            assert service.call("POST", "/tasks", json=TASK).status_code == 201
        wait_for(lambda: nginx.answers("/http-host/health/live"))
        yield nginx, service


@contextmanager
def get(nginx: Service, path: str, host: str = NAME, **headers: str) -> Iterator[HTTPResponse]:
    """Send a GET from an address of the client's own."""
    connection = HTTPConnection("127.0.0.1", nginx.port, source_address=(CLIENT, 0))
    with closing(connection):
        connection.request("GET", path, headers={"Host": host, **headers})
        yield connection.getresponse()


def view(nginx: Service, location: str) -> tuple[str | None, str | None]:
    """Return the URLs of the next page and of a redirect."""
    host = f"{NAME}:{nginx.port}"
    with get(nginx, f"{location}tasks?limit=1", host) as response:
        found = re.match("<([^?]*)[?]", response.headers["Link"] or "")
    with get(nginx, f"{location}docs/?a=b", host) as response:
        assert response.status == 308
        return found and found[1], response.headers["Location"]


def test_links_and_log_lines_are_right_behind_any_nginx(
    behind_nginx: tuple[Service, Service],
) -> None:
    nginx, service = behind_nginx
    with_port, without = f"http://{NAME}:{nginx.port}", f"http://{NAME}"
    for location, url in (
        ("/http-host/", f"{with_port}/http-host"),
        ("/host/", f"{without}/host"),
        ("/forwarded-host/", f"{with_port}/forwarded-host"),
    ):
        redirect = f"{location}docs?a=b"
        assert view(nginx, location) == (f"{url}/tasks", redirect)
    # Its headers are not believed, and its requests are its own.
    assert view(nginx, "/not-named/") == (f"{with_port}/tasks", "/docs?a=b")
    for number, address in (("1", CLIENT), ("2", OTHER_PROXY)):
        location = "/http-host/" if number == "1" else "/not-named/"
        with get(nginx, f"{location}health/live", **{"X-Request-ID": f"request-{number}"}):
            wait_for(lambda number=number: f"request-{number}" in service.log)  # type: ignore[misc]
        assert re.search(rf"{address} .*request-{number}\n", service.log)


def test_a_wrong_proxy_is_told_what_it_sends(behind_nginx: tuple[Service, Service]) -> None:
    nginx, _ = behind_nginx
    for location, reason, words in (
        ("/no-host/", "host_not_trusted", ('"instance"', "TRUSTED_HOSTS", "proxy")),
        ("/two-schemes/", "schemes_contradict", ("X-Forwarded-Proto", "X-Forwarded-Ssl")),
    ):
        with get(nginx, f"{location}tasks") as response:
            error = json.load(response)
        assert (response.status, error["reason"]) == (400, reason)
        assert all(word in error["message"] for word in words)


def test_swagger_ui_works_under_a_prefix(behind_nginx: tuple[Service, Service]) -> None:
    nginx, _ = behind_nginx
    with get(nginx, "/http-host/docs") as response:
        page = response.read().decode()
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(links) >= 4
    for link in links:
        with get(nginx, urljoin("/http-host/docs", link)) as response:
            assert response.status == 200, link
    with get(nginx, "/http-host/docs/docs.js") as response:
        assert 'url: "openapi.json"' in response.read().decode()  # beside the page


@pytest.fixture
def documented(
    environment: dict[str, str], empty_database_url: str, tmp_path: Path
) -> Iterator[tuple[Service, Service, ssl.SSLContext]]:
    """An nginx as documented, an instance with the variables of the unit, and a TLS context."""
    port, instance, unused = free_port(), free_port(), free_port()
    certificate = new_certificate(tmp_path)
    configuration = example_with_tls(port, (instance, unused), certificate)
    migrations.upgrade(Settings(database_url=empty_database_url))
    environment = {**environment, "TRUSTED_HOSTS": NAME, "WEB_CONCURRENCY": "1"}
    environment["DATABASE_URL"] = empty_database_url
    environment["FORWARDED_ALLOW_IPS"] = "127.0.0.1"
    with (
        served(environment, tmp_path / "output", port=instance) as service,
        running_nginx(configuration, environment, tmp_path / "nginx", port) as nginx,
    ):
        yield nginx, service, ssl.create_default_context(cafile=certificate)


def test_the_documented_nginx_works_as_it_stands(
    documented: tuple[Service, Service, ssl.SSLContext],
) -> None:
    nginx, service, context = documented
    for _ in range(2):
        assert service.call("POST", "/tasks", json=TASK).status_code == 201
    options: Any = {"context": context, "source_address": (CLIENT, 0)}
    with closing(HTTPSConnection("127.0.0.1", nginx.port, **options)) as connection:

        def fetch(path: str, **headers: str) -> HTTPResponse:
            connection.request("GET", path, headers={"Host": f"{NAME}:{nginx.port}", **headers})
            response = connection.getresponse()
            response.read()
            return response

        wait_for(lambda: fetch("/health/ready").status == 200)
        # A query of the greatest length: its `next` link passes through nginx in both directions.
        padding = quote(" " * ((QUERY_MAX - 30) // 3))
        claims = {"X-Forwarded-Host": "localhost", "X-Forwarded-Prefix": "/claimed"}
        claims["X-Forwarded-For"] = "6.6.6.6"
        path = f"/tasks?limit=1&repository={padding}pallets/flask"
        first = fetch(path, **claims, **{"X-Request-ID": "my-request"})
        url = first.headers["Link"].partition(">")[0].removeprefix("<")
        assert url.startswith(f"https://{NAME}:{nginx.port}/tasks?limit=1&")
        second = fetch(urlsplit(url)._replace(scheme="", netloc="").geturl())
        assert second.status == 200
        assert 'rel="next"' not in second.headers["Link"]
    wait_for(lambda: "my-request" in service.log)
    assert re.search(rf"{CLIENT} .* request_id=my-request\n", service.log)
