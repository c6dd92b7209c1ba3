"""One line for each thing that happens, whatever is in it."""

import json
import logging
import logging.config
import sys
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tracker.config import Settings
from tracker.logs import JSONFormatter, RequestIdFilter, TextFormatter, configuration


def _record(message: str, *args: Any, **attributes: Any) -> logging.LogRecord:
    record = logging.LogRecord("tracker", logging.ERROR, __file__, 1, message, args, None)
    record.__dict__.update(attributes)
    return record


def _failure() -> logging.LogRecord:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        return _record("Exception on /", exc_info=sys.exc_info(), request_id="abc")


def test_a_text_line_tells_when_how_bad_where_and_what() -> None:
    line = TextFormatter().format(_record("%s happened", "it", request_id="abc", created=0.0))
    assert line.startswith("1970-01-01T00:00:00.")
    assert line.endswith("Z ERROR tracker: it happened request_id=abc")


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\x1b[2Jb", "a\u2028b", "a\x00b"])
@pytest.mark.parametrize("formatter", [TextFormatter(), JSONFormatter()])
def test_no_message_can_break_a_line(formatter: logging.Formatter, text: str) -> None:
    line = formatter.format(_record(text))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert "\x00" not in line


def test_an_exception_is_told_in_one_line_with_where_it_came_from() -> None:
    line = TextFormatter().format(_failure())
    assert len(line.splitlines()) == 1
    assert r"ValueError: first\nsecond" in line
    assert "test_logs.py" in line


def test_a_json_line_has_the_exception_as_a_member() -> None:
    entry = json.loads(JSONFormatter().format(_failure()))
    assert entry["level"] == "error"
    assert entry["request_id"] == "abc"
    assert "Traceback" in entry["exception"]


def test_a_json_access_line_has_members_for_its_numbers() -> None:
    atoms = {"h": "127.0.0.1", "m": "GET", "{raw_uri}e": "/tasks/1", "s": "200", "B": 512}
    atoms |= {"D": 3210, "{x-request-id}o": "abc"}
    record = _record("%(m)s", name="gunicorn.access", args=atoms)
    entry = json.loads(JSONFormatter().format(record))
    assert (entry["status"], entry["bytes"], entry["microseconds"]) == (200, 512, 3210)
    assert (entry["method"], entry["uri"], entry["request_id"]) == ("GET", "/tasks/1", "abc")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_configuration_is_one_that_logging_takes(log_format: str) -> None:
    described = configuration(Settings(log_format=log_format, log_level="warning"))
    configurator = logging.config.DictConfigurator(described)
    formatter = configurator.configure_formatter(described["formatters"]["line"])
    assert isinstance(formatter, JSONFormatter if log_format == "json" else TextFormatter)
    assert described["loggers"]["tracker"]["level"] == "WARNING"


def test_every_answer_has_an_id_of_its_own(client: FlaskClient) -> None:
    ids = {
        client.get(path, buffered=True).headers["X-Request-ID"]
        for path in ("/nope", "/health/live", "/docs")
    }
    assert len(ids) == 3


@pytest.mark.parametrize("brought", ["abc-123", "x" * 64, "00-4bf92f3577b34da6a3ce929d0e0e4736-01"])
def test_a_sound_id_of_the_clients_is_kept(client: FlaskClient, brought: str) -> None:
    response = client.get("/health/live", headers={"X-Request-ID": brought})
    assert response.headers["X-Request-ID"] == brought


@pytest.mark.parametrize("brought", ["", "x" * 65, "two words", "é", 'quo"te'])
def test_an_unsound_id_of_the_clients_is_replaced(client: FlaskClient, brought: str) -> None:
    response = client.get("/health/live", headers={"X-Request-ID": brought})
    assert response.headers["X-Request-ID"] not in ("", brought)


def test_what_is_logged_in_a_request_carries_its_id(app: Flask) -> None:
    record = _record("it happened")

    @app.before_request
    def log() -> None:
        RequestIdFilter().filter(record)

    app.test_client().get("/health/live", headers={"X-Request-ID": "abc"})
    assert record.__dict__["request_id"] == "abc"
