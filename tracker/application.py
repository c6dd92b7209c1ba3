"""The application: its parts, wired."""

from flask import Flask

from . import logs
from .api import error_handlers, metrics, openapi, security, urls
from .api.bulk import bulk_tasks
from .api.changes import changes
from .api.counts import task_counts
from .api.export import export
from .api.health import health
from .api.imports import imports
from .api.parsing import BODY_MAX
from .api.rate_limit import rate_limit
from .api.repositories import repositories
from .api.tasks import TaskIdConverter, tasks
from .cli.admin import commands
from .config import Settings, load_settings
from .database import standby
from .database.connection import configure
from .github.client import GitHubClient
from .github.names import web_host
from .web import pages


def create_app(settings: Settings | None = None) -> Flask:
    """Wire the application. No I/O: gunicorn forks after this.

    Raises:
        SettingsError: a setting in the environment has an invalid value.
    """
    settings = settings or load_settings()
    app = Flask("tracker", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = BODY_MAX + 1
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.converters["task"] = TaskIdConverter
    connect(app, settings)
    logs.init_app(app)
    security.init_app(app, settings)
    urls.init_app(app)
    metrics.init_app(app)
    error_handlers.init_app(app)
    openapi.init_app(
        app,
        settings,
        tasks,
        bulk_tasks,
        task_counts,
        export,
        imports,
        repositories,
        changes,
        rate_limit,
        metrics.metrics,
        health,
    )
    pages.init_app(app)
    for command in commands:
        app.cli.add_command(command)
    return app


def connect(app: Flask, settings: Settings) -> None:
    """Set the database and the GitHub that the application uses. No I/O."""
    app.config.update(SETTINGS=settings, GITHUB_WEB_HOST=web_host(settings.github_api_base))
    app.extensions["github"] = GitHubClient(settings)
    configure(settings)
    standby.configure(settings)
