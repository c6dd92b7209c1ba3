"""Malformed and malicious requests to the running service: each gets its status, never a 500."""

import json
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from helpers import Service, served

TASK = {"title": "Read the docs", "repository": "pallets/flask"}


@pytest.fixture(scope="module")
def service(
    module_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service with one worker, for all tests of this module."""
    environment = {
        **module_environment,
        "WEB_CONCURRENCY": "1",
        "FORWARDED_ALLOW_IPS": "127.0.0.1",  # as behind a proxy on this machine
        "DATABASE_POOL_SIZE": "4",
    }
    with served(environment, tmp_path_factory.mktemp("hostile") / "output") as running:
        yield running
        assert "Exception on" not in running.log


def exchange(service: Service, request: bytes) -> tuple[int, bytes]:
    """Send bytes; return the status and the whole response."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as connection:
        with suppress(OSError):  # the service may respond and close before it has read everything
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
        response = b""
        while chunk := connection.recv(65_536):
            response += chunk
    return int(response.split(b" ", 2)[1]), response


def post(body: bytes | str, content_type: str = "application/json", headers: str = "") -> bytes:
    data = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
    head = f"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\n"
    return (head + f"{headers}Content-Length: {len(data)}\r\n\r\n").encode("latin1") + data


def get(path: str, headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode("latin1")


def with_field(name: str, text: str) -> str:
    """Return a task's JSON with one field as raw JSON text."""
    fields = {key: json.dumps(value) for key, value in TASK.items()} | {name: text}
    return "{" + ", ".join(f'"{key}": {value}' for key, value in fields.items()) + "}"


INPUTS: dict[str, tuple[bytes, int]] = {
    "NUL in the title": (post(with_field("title", r'"a\u0000b"')), 422),
    "raw NUL in the body": (post(with_field("title", '"a\0b"')), 400),
    "lone high surrogate": (post(with_field("title", r'"a\ud800b"')), 422),
    "lone low surrogate in a tag": (post(with_field("tags", r'["\udfff"]')), 422),
    "surrogate as raw bytes": (post(with_field("title", '"\ud800"')), 400),
    "surrogate in a key": (post(with_field(r"\ud800", "1")), 422),
    "a key of 10,000 characters": (post(with_field("k" * 10_000, "1")), 422),
    "an empty key": (post(with_field("", "1")), 422),
    "the key __proto__": (post(with_field("__proto__", "{}")), 422),
    "2**63 as the title": (post(with_field("title", str(2**63))), 422),
    "2**63 in the path": (get(f"/tasks/{2**63}"), 404),
    "-1 in the path": (get("/tasks/-1"), 404),
    "a number of 4,000 digits in the path": (get("/tasks/" + "9" * 4_000), 404),
    "a number of 5,000 digits": (post(with_field("title", "9" * 5_000)), 400),
    "1e999": (post(with_field("title", "1e999")), 422),
    "NaN": (post(with_field("title", "NaN")), 400),
    "-Infinity": (post(with_field("title", "-Infinity")), 400),
    "100,000 open brackets": (post("[" * 100_000), 400),
    "30,000 nested objects": (post('{"a":' * 30_000 + "1" + "}" * 30_000), 400),
    "500 nested arrays as a tag": (post(with_field("tags", "[" * 500 + "]" * 500)), 422),
    "one key twice": (post('{"title": "a", "title": "b", "repository": "pallets/flask"}'), 400),
    "a byte order mark": (post(b"\xef\xbb\xbf{}"), 400),
    "UTF-16": (post(json.dumps(TASK).encode("utf-16")), 400),
    "bytes that are no UTF-8": (post(b'{"title": "\xc3\x28"}'), 400),
    "overlong UTF-8": (post(b'{"title": "\xc0\xaf"}'), 400),
    "an empty body": (post(""), 400),
    "only blanks": (post(" \n\t "), 400),
    "JSON after JSON": (post("{}{}"), 400),
    "a comment in JSON": (post("{/* */}"), 400),
    "an array": (post("[]"), 422),
    "null": (post("null"), 422),
    "a form": (post("title=a", "application/x-www-form-urlencoded"), 415),
    "XML": (post("<task/>", "application/xml"), 415),
    "a content type of garbage": (post("{}", ";;;=,"), 415),
    "JSON in another charset": (
        post(b'{"title": "\xe9"}', "application/json; charset=latin1"),
        400,
    ),
    "multipart with no boundary": (post("x", "multipart/form-data"), 415),
    "gzip without Content-Encoding": (post(b"\x1f\x8b\x08\x00", headers=""), 400),
    "a body of 300 KiB": (post('"' + "x" * 300_000 + '"'), 413),
    "a huge Content-Length and no body": (
        b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 99999999999999\r\n\r\n",
        413,
    ),
    "a negative Content-Length": (
        b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        400,
    ),
    "two Content-Lengths": (
        b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
        b"Content-Length: 3\r\n\r\n{}",
        400,
    ),
    "Content-Length and chunks": (
        b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "a chunk of garbage": (
        b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        400,
    ),
    "300 KiB in chunks": (
        b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n4b000\r\n" + b"x" * 0x4B000 + b"\r\n0\r\n\r\n",
        413,
    ),
    "a body shorter than it says": (
        b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b'Content-Length: 100\r\n\r\n{"title": "',
        400,
    ),
    "a whole task in a body shorter than it says": (
        post(json.dumps(TASK)).replace(b"Content-Length: ", b"Content-Length: 1"),
        400,
    ),
    "a header of 100 KB": (get("/tasks", f"X-Huge: {'x' * 100_000}\r\n"), 431),
    "1,000 headers": (get("/tasks", "".join(f"X-{n}: 1\r\n" for n in range(1_000))), 431),
    "a request line of 20 KB": (get("/tasks?q=" + "x" * 20_000), 414),
    "a SCRIPT_NAME from a proxy": (get("/tasks", "SCRIPT_NAME: /evil\r\n"), 200),
    "a PATH_INFO from a proxy": (get("/nope", "PATH_INFO: /tasks\r\n"), 404),
    "a header with no colon": (get("/tasks", "garbage\r\n"), 400),
    "no Host": (b"GET /tasks HTTP/1.1\r\n\r\n", 400),
    "two Hosts": (b"GET /tasks HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400),
    "a rebound name as Host": (
        b"GET /tasks HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Proto: https\r\n\r\n",
        400,
    ),
    "a rebound name in X-Forwarded-Host": (
        get("/tasks", "X-Forwarded-Host: evil.example\r\n"),
        400,
    ),
    "a URL as the prefix": (get("/tasks/", "X-Forwarded-Prefix: //evil.example\r\n"), 308),
    "a null Origin": (get("/tasks", "Origin: null\r\n"), 403),
    "a malformed Origin": (get("/tasks", "Origin: http://[\r\n"), 403),
    "a Host of garbage": (b"GET /tasks HTTP/1.1\r\nHost: a b/c\r\n\r\n", 400),
    "an unknown method": (b"FROB /tasks HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    "%00 in the path": (get("/tasks/%00"), 404),
    "%FF in the path": (get("/tasks/%FF"), 404),
    "%2F..%2F in the path": (get("/docs/..%2F..%2Fwsgi.py"), 404),
    "%0D%0A in the path": (get("/tasks/%0D%0AX-Evil:%201"), 404),
    "%00 in a parameter": (get("/tasks?q=%00"), 422),
    "%FF in a parameter": (get("/tasks?repository=%FF"), 400),
    "a raw byte in a parameter": (get("/tasks?q=\xff"), 400),
    "a tsquery": (get("/tasks?q=a%27:*%26!(b%7C"), 200),
    "SQL": (get("/tasks?tag=%27;DROP%20TABLE%20tasks;--"), 200),
    "SQL in the sort": (get("/tasks?sort=id;DROP%20TABLE%20tasks"), 422),
    "a cursor with a null title": (get("/tasks?sort=title&cursor=WyJ0aXRsZSIsbnVsbCwxXQ"), 422),
    "the year 0": (post(with_field("due_date", '"0000-01-01"')), 422),
    "the year 10000": (post(with_field("due_date", '"10000-01-01"')), 422),
    "February 30": (post(with_field("due_date", '"2030-02-30"')), 422),
    "a date in Arabic digits": (post(with_field("due_date", '"٢٠٣٠-٠١-٠١"')), 422),
    "the file:// scheme": (post(with_field("repository", '"file:///etc/passwd"')), 422),
    "a path as the repository": (post(with_field("repository", '"../../rate_limit"')), 422),
    "a line break in the repository": (post(with_field("repository", r'"a/b\r\nX-Evil: 1"')), 422),
    "an If-Match of garbage": (
        b'PUT /tasks/1 HTTP/1.1\r\nHost: localhost\r\nIf-Match: ",,"W/\r\n'
        b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        422,
    ),
    "an Idempotency-Key of blanks": (
        post(json.dumps(TASK), headers="Idempotency-Key: a b\r\n"),
        422,
    ),
    "a request ID that would break a line": (
        get("/health/live", "X-Request-ID: a%0d%0ab\tc\r\n"),
        200,
    ),
}


@pytest.mark.parametrize("name", INPUTS)
def test_hostile_input_gets_its_status(service: Service, name: str) -> None:
    request, expected = INPUTS[name]
    status, response = exchange(service, request)
    assert status == expected, response[:500]
    head, _, body = response.partition(b"\r\n\r\n")
    assert b"\r\nX-Request-ID: " in head
    if status >= 400:
        assert json.loads(body)["code"] == status
    for internal in (b"Traceback", b"/tracker/", b"psycopg2", b"site-packages"):
        assert internal not in response


def test_a_body_that_ends_too_soon_is_named(service: Service) -> None:
    request, _ = INPUTS["a whole task in a body shorter than it says"]
    _, response = exchange(service, request)
    assert json.loads(response.partition(b"\r\n\r\n")[2])["reason"] == "malformed_body"


def test_the_service_works_after_all_hostile_input(service: Service) -> None:
    for request, _ in INPUTS.values():
        exchange(service, request)
    assert service.answers("/health/ready")
    assert service.post("pallets/flask").status_code == 201
