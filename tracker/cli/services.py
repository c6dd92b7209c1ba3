"""Which service the verbs speak to."""

from __future__ import annotations

import os
from dataclasses import replace
from urllib.parse import urlsplit

import click

from .client import Client, Connection
from .failures import Exit, Failure


def find() -> Client:
    """Return a client of the service at TRACKER_URL, of this checkout's, or of the application.

    The token of this checkout goes to its own service alone, and TRACKER_TOKEN to TRACKER_URL
    alone.

    Raises:
        Failure: an address or a setting is wrong, or the application can't start.
    """
    if url := os.environ.get("TRACKER_URL", "").strip():
        return _remote(url, os.environ.get("TRACKER_TOKEN", "").strip() or None)
    from ..config import SettingsError, load_settings

    try:
        settings = load_settings()
    except SettingsError as error:
        raise Failure(str(error)) from None
    token = next(iter(settings.api_tokens), None)
    from .. import presence

    host = urlsplit(settings.address).hostname or ""
    if service := presence.find(host, settings.port):
        address, database = service
        # Not the host's name: another program may listen on another address of it.
        url = replace(settings, host=address).address
        return _closed_at_end(Client(Connection(url), token, database))
    from ..database.connection import database_name
    from .local import Application

    return _closed_at_end(Client(Application(settings), token, database_name(settings)))


def _closed_at_end(client: Client) -> Client:
    click.get_current_context().find_root().call_on_close(client.transport.close)
    return client


def _remote(url: str, token: str | None) -> Client:
    from ..config import is_loopback

    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment or parts.username is not None:
        message = "TRACKER_URL takes an http or https URL such as http://127.0.0.1:8000"
        raise Failure(message, Exit.USAGE)
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        raise Failure("TRACKER_TOKEN takes a token of visible ASCII characters", Exit.USAGE)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        sent = "the token and the tasks" if token else "the tasks"
        click.echo(f"warning: {sent} cross the network unencrypted; use https", err=True)
    try:
        return _closed_at_end(Client(Connection(parts.geturl()), token, parts.geturl()))
    except (UnicodeError, ValueError) as error:
        raise Failure(f"TRACKER_URL can't be used: {error}", Exit.USAGE) from None
