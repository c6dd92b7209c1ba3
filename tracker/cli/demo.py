"""Command `demo`."""

import click

from .. import demo as demonstration
from .common import command


@click.command("demo")
@click.option("--reset", is_flag=True, help="Delete the tasks of earlier demos first.")
@command
def demo(reset: bool) -> None:
    """Serve with a local stand-in for GitHub and sample tasks."""
    demonstration.run(reset=reset)
