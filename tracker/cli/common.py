"""What the commands share: settings, logging and errors."""

import logging.config
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

import click
from flask import current_app

from .. import logs
from ..config import Settings
from ..errors import EmbeddedPostgresError, TrackerError

P = ParamSpec("P")


def current_settings() -> Settings:
    """Return the application's settings."""
    settings: Settings = current_app.config["SETTINGS"]
    return settings


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Configure logging, and end an expected failure with one line instead of a traceback."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        logging.config.dictConfig(logs.configuration(current_settings()))
        try:
            function(*args, **kwargs)
        except (TrackerError, EmbeddedPostgresError) as error:
            raise click.ClickException(str(error)) from error

    return run
