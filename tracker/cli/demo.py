"""Command for the demo: `flask demo`."""

import click

from .. import demo as demonstration
from .common import command


@click.command("demo")
@command
def demo() -> None:
    """Serve with a local stand-in for GitHub and sample tasks."""
    demonstration.run()
