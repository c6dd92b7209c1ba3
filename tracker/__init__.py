"""GitHub Task Tracker: tasks, each linked to a GitHub repository."""

from collections.abc import Callable
from typing import Any

from flask import Flask, Request
from werkzeug.routing import MapAdapter

from tracker import errors, logs
from tracker.api import openapi, security
from tracker.api.health import health
from tracker.api.parsing import BODY_MAX
from tracker.api.tasks import TaskId, tasks
from tracker.cli.database import commands
from tracker.config import Settings, load_settings
from tracker.database import connection as database
from tracker.github.client import GitHubClient


def create_app(settings: Settings | None = None) -> Flask:
    """Wire the application; nothing is opened or asked before the first request.

    Raises:
        SettingsError: a setting in the environment has a value that can't be used.
    """
    settings = settings or load_settings()
    app = _Application(__name__, static_folder=None)
    app.config.update(SETTINGS=settings, MAX_CONTENT_LENGTH=BODY_MAX + 1)
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.converters["task"] = TaskId
    app.extensions["github"] = GitHubClient.from_settings(settings)
    database.configure(settings)
    logs.init_app(app)
    security.init_app(app, settings)
    errors.init_app(app)
    openapi.init_app(app, settings, tasks, health)
    for command in commands:
        app.cli.add_command(command)
    return app


class _Application(Flask):
    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Match by the path alone: no route minds the host, which it takes time to encode."""
        if request is None:
            return super().create_url_adapter(None)
        return MapAdapter(
            self.url_map,
            server_name=request.host,
            script_name=request.root_path,
            subdomain="",
            url_scheme=request.scheme,
            path_info=request.path,
            default_method=request.method,
            query_args=request.query_string.decode(errors="replace"),
        )

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Give the function as it is: none here is a coroutine, and to look takes its time."""
        return func
