"""The application's name; the default label would be the framework's own."""

from django.apps import AppConfig


class TasksConfig(AppConfig):
    """The application."""

    name = "benchmarks.peers.rest_framework"
    label = "rest_framework_tasks"
