"""Parsers of the addresses in settings; a ValueError says what a setting takes."""

import re
from urllib.parse import urlsplit


def parse_api_base(text: str) -> str:
    """Return the address of GitHub's API."""
    message = "takes an http or https URL such as https://api.github.com"
    try:
        url = urlsplit(text)
        valid = url.scheme in {"http", "https"} and url.hostname and url.port != 0
    except ValueError:
        valid = False
    if not valid or re.search(r"\s", text) or url.query or url.fragment or url.username is not None:
        raise ValueError(message)
    return text.rstrip("/")


def is_complete(text: str) -> bool:
    """Return whether a URL or connection string names a database, and parts have their places.

    libpq takes a part of the password for the host, port or database if the password contains
    `/` or `@`. PostgreSQL's errors would then show it.
    """
    import psycopg2.extensions  # here: the command line reads the settings, and needs no database

    try:
        parameters = psycopg2.extensions.parse_dsn(text)
    except psycopg2.ProgrammingError:
        return False
    ports = parameters.get("port", "").split(",")
    names = parameters.get("host", "") + parameters.get("dbname", "@")
    sound = "@" not in names and all(not p or (p.isdigit() and int(p) < 65_536) for p in ports)
    return "dbname" in parameters and (sound or "://" not in text)


def parse_host(text: str) -> str:
    """Return the address to listen on."""
    if not re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", text):
        raise ValueError(f"takes a host name or an IP address to listen on, not {text!r}")
    return text


def parse_hosts(text: str) -> tuple[str, ...]:
    """Return the names of hosts, in lower case; a leading dot stands for all names below one."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    sound = re.compile(r"\.?[A-Za-z0-9_-][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]")
    if not names or not all(map(sound.fullmatch, names)):
        raise ValueError("takes names such as tracker.example.com,.example.org, without a port")
    return tuple(name.strip("[]").lower() for name in names)
