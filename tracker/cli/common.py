"""Settings, logging and errors, which all commands share."""

import logging.config
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import click
from flask import current_app
from peewee import PeeweeException

from .. import logs
from ..config import Settings
from ..database.connection import connection_parameters
from ..database.errors import explain
from ..errors import EmbeddedPostgresError, TrackerError
from .output import unwritable

P = ParamSpec("P")
FAILURES = (TrackerError, EmbeddedPostgresError, PeeweeException)


def current_settings() -> Settings:
    """Return the application's settings."""
    settings: Settings = current_app.config["SETTINGS"]
    return settings


def reason(error: Exception) -> str:
    """Return an expected failure as one line, with its cause and a remedy."""
    return explain(error, connection_parameters(current_settings()))


def program() -> str:
    """Return how the command line was called, such as `python3 tracker.py` or `flask`."""
    return click.get_current_context().find_root().info_name or "flask"


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Configure logging, and end an expected failure with one line instead of a traceback."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        logging.config.dictConfig(logs.configuration(current_settings()))
        try:
            function(*args, **kwargs)
        except FAILURES as error:
            raise click.ClickException(reason(error)) from error
        except BrokenPipeError:
            raise  # click ends the command
        except OSError as error:
            raise unwritable(error) from error

    return run
