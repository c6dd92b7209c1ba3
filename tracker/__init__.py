"""GitHub Task Tracker: tasks, each linked to a GitHub repository."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from .config import Settings


def create_app(settings: "Settings | None" = None) -> "Flask":
    """Return the application; `application` wires it.

    Flask is imported here, because the command line works without it where a service runs.

    Raises:
        SettingsError: a setting in the environment has an invalid value.
    """
    from .application import create_app

    return create_app(settings)
