"""The application's name, which is not that of the framework."""

from django.apps import AppConfig


class TasksConfig(AppConfig):
    """The tasks."""

    name = "benchmarks.peers.rest_framework"
    label = "rest_framework_tasks"
