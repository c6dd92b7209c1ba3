"""Log lines: one line per event, whatever it contains."""

import json
import logging
import logging.config
import sys
from typing import Any

import pytest
from flask.testing import FlaskClient

from tracker import create_app
from tracker.config import Settings
from tracker.logs import JSONFormatter, RequestIdFilter, TextFormatter, configuration


def record(message: str, *args: Any, **attributes: Any) -> logging.LogRecord:
    record = logging.LogRecord("tracker", logging.ERROR, __file__, 1, message, args, None)
    record.__dict__.update(attributes)
    return record


def failure() -> logging.LogRecord:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        return record("Exception on /", exc_info=sys.exc_info(), request_id="abc")


def test_a_text_line_has_time_level_logger_and_message() -> None:
    line = TextFormatter().format(record("%s happened", "it", request_id="abc", created=0.0))
    assert line.startswith("1970-01-01T00:00:00.")
    assert line.endswith("Z ERROR tracker: it happened request_id=abc")


@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", "a\x1b[2Jb", "a\u2028b", "a\x00b"])
@pytest.mark.parametrize("formatter", [TextFormatter(), JSONFormatter()])
def test_no_message_can_break_a_line(formatter: logging.Formatter, text: str) -> None:
    line = formatter.format(record(text))
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert "\x00" not in line


def test_an_exception_is_one_line_with_its_origin() -> None:
    line = TextFormatter().format(failure())
    assert len(line.splitlines()) == 1
    assert r"ValueError: first\nsecond" in line
    assert "test_logs.py" in line


def test_a_json_line_has_the_exception_as_a_member() -> None:
    entry = json.loads(JSONFormatter().format(failure()))
    assert entry["level"] == "error"
    assert entry["request_id"] == "abc"
    assert "Traceback" in entry["exception"]


def test_a_json_access_line_has_members_for_its_numbers() -> None:
    atoms = {"h": "127.0.0.1", "m": "GET", "{raw_uri}e": "/tasks/1", "s": "200", "B": 512}
    atoms |= {"D": 3210, "{x-request-id}o": "abc"}
    line = record("%(m)s", name="gunicorn.access", args=atoms)
    entry = json.loads(JSONFormatter().format(line))
    assert (entry["status"], entry["bytes"], entry["microseconds"]) == (200, 512, 3210)
    assert (entry["method"], entry["uri"], entry["request_id"]) == ("GET", "/tasks/1", "abc")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_configuration_is_valid_for_logging(log_format: str) -> None:
    described = configuration(Settings(log_format=log_format, log_level="warning"))
    configurator = logging.config.DictConfigurator(described)
    formatter = configurator.configure_formatter(described["formatters"]["line"])
    assert isinstance(formatter, JSONFormatter if log_format == "json" else TextFormatter)
    assert described["loggers"]["tracker"]["level"] == "WARNING"


def test_every_response_has_its_own_id(client: FlaskClient) -> None:
    ids = {
        client.get(path, buffered=True).headers["X-Request-ID"]
        for path in ("/nope", "/health/live", "/docs")
    }
    assert len(ids) == 3


@pytest.mark.parametrize("sent", ["abc-123", "x" * 64, "00-4bf92f3577b34da6a3ce929d0e0e4736-01"])
def test_a_valid_id_of_the_client_is_kept(client: FlaskClient, sent: str) -> None:
    response = client.get("/health/live", headers={"X-Request-ID": sent})
    assert response.headers["X-Request-ID"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 65, "two words", "é", 'quo"te'])
def test_an_invalid_id_of_the_client_is_replaced(client: FlaskClient, sent: str) -> None:
    response = client.get("/health/live", headers={"X-Request-ID": sent})
    assert response.headers["X-Request-ID"] not in ("", sent)


def test_a_line_logged_in_a_request_has_its_id(settings: Settings) -> None:
    app = create_app(settings)
    line = record("it happened")

    @app.before_request
    def log() -> None:
        RequestIdFilter().filter(line)

    app.test_client().get("/health/live", headers={"X-Request-ID": "abc"})
    assert line.__dict__["request_id"] == "abc"
