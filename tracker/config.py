"""Settings from the environment or `.env`, checked once, at the start."""

import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .addresses import is_complete, parse_api_base, parse_host, parse_hosts
from .dotenv import Dotenv, own_environment, read_dotenv
from .secret_files import FILE_NAMES, exposed, read_secret_files

VERSION = "0.1.0"
ROOT = Path(__file__).resolve().parent.parent
INSTANCE = ROOT / "instance"
EMBEDDED = "embedded:"
GUNICORN_NAMES = ("FORWARDED_ALLOW_IPS", "GUNICORN_CMD_ARGS")


class SettingsError(ValueError):
    """Settings are invalid; each of `problems` names one and says what it takes."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems

    @property
    def report(self) -> str:
        """A line for each problem."""
        return "\n".join(f"error: {problem}" for problem in self.problems)


@dataclass(frozen=True)
class Settings:
    """The parsed settings; docs/configuration.md describes each."""

    database_url: str = field(default=f"{EMBEDDED}{INSTANCE / 'postgres'}", repr=False)
    database_replica_url: str | None = field(default=None, repr=False)
    github_api_base: str = "https://api.github.com"
    github_token: str | None = field(default=None, repr=False)
    github_timeout: float = 10.0
    github_cache: str = field(default=str(INSTANCE / "github-cache.sqlite"), repr=False)
    github_cache_ttl: int = 3600
    api_token: str | None = field(default=None, repr=False)
    host: str = "127.0.0.1"
    port: int = 8000
    trusted_hosts: tuple[str, ...] = ()
    web_concurrency: int = 2
    database_pool_size: int = 10
    database_prepared_statements: str = "on"
    log_level: str = "info"
    log_format: str = "text"

    @property
    def embedded_folder(self) -> Path | None:
        """Data folder of the embedded PostgreSQL, or None if DATABASE_URL names a server."""
        if self.database_url.startswith(EMBEDDED):
            return Path(self.database_url.removeprefix(EMBEDDED))
        return None

    @property
    def api_tokens(self) -> tuple[str, ...]:
        """The tokens in API_TOKEN; each of them is accepted."""
        return tuple(self.api_token.split(",")) if self.api_token else ()

    @property
    def address(self) -> str:
        """The URL of the service for a browser on this machine."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings in `environ`; by default the environment's, then those of `.env`.

    An empty variable counts as not set. `NAME_FILE` names a file with a secret.

    Raises:
        SettingsError: a value is invalid, or a line of `.env`.
    """
    dotenv = Dotenv({}, {}, [])
    if environ is None:
        dotenv = read_dotenv(ROOT / ".env")
        environ = {**dotenv.values, **own_environment()}
    values: dict[str, Any] = {}
    files = read_secret_files(environ, ROOT)
    problems = [*dotenv.problems, *files.problems]
    for name, parse in _PARSERS.items():
        # Other blanks are part of a value.
        text = files.values.get(name) or environ.get(name, "").strip(string.whitespace)
        if not text:
            continue
        try:
            values[name.lower()] = parse(text)
        except ValueError as error:
            problems.append(f"{files.source(name)} {error}")
    base = urlsplit(values.get("github_api_base", ""))
    if "github_token" in values and base.scheme == "http" and not is_loopback(base.hostname or ""):
        problems.append(
            "GITHUB_API_BASE takes an https URL where GITHUB_TOKEN is set: "
            "http would send the token unencrypted"
        )
    # Any other misspelt name is a warning. This one would leave the API without a login.
    misspelt = set(dotenv.misspelt(_NAMES).values())
    token_misspelt = not misspelt.isdisjoint({"API_TOKEN", "API_TOKEN_FILE"})
    if problems or (token_misspelt and "api_token" not in values):
        raise SettingsError(*problems, *dotenv.unknown(_NAMES))
    return Settings(**values)


def is_loopback(host: str) -> bool:
    """Return whether only programs on this machine can connect to the address."""
    return host in {"localhost", "::1"} or re.fullmatch(r"127(\.[0-9]+){3}", host) is not None


def file_warnings() -> list[str]:
    """Return what looks wrong with `.env` and the files of secrets, but does not stop a start."""
    dotenv = read_dotenv(path := ROOT / ".env")
    environment = own_environment()
    files = read_secret_files({**dotenv.values, **environment}, ROOT)
    unread = [
        f".env, line {dotenv.lines[name]}: gunicorn does not read {name} there; export it"
        for name in GUNICORN_NAMES
        if name in dotenv.lines and name not in environment
    ]
    return (
        dotenv.unknown(_NAMES)
        + unread
        + [w for each in (path, *files.paths) for w in exposed(each)]
    )


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise ValueError(f"takes a whole number from {low} to {high}, not {text!r}")
        return int(text)

    return parse


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", text) or not 0.1 <= float(text) <= 300:
        raise ValueError(f"takes seconds from 0.1 to 300, not {text!r}")
    return float(text)


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"takes one of {', '.join(choices)}, not {text!r}")
        return text.lower()

    return parse


def _token(text: str) -> str:
    # The message must not repeat it: a mistyped secret is still a secret.
    if not re.fullmatch(r"[!-~]+", text):
        raise ValueError("takes a token of visible ASCII characters")
    return text


def _tokens(text: str) -> str:
    tokens = [token.strip() for token in text.split(",")]
    if not all(tokens):
        raise ValueError("takes tokens with commas between them, and one of these is empty")
    return ",".join(map(_token, tokens))


def _database_url(text: str) -> str:
    # The message must not repeat it: it may contain a password.
    if text.startswith(EMBEDDED):
        if text == EMBEDDED:
            raise ValueError(f"takes a folder after {EMBEDDED}")
        return EMBEDDED + str(_path(text.removeprefix(EMBEDDED)))
    if is_complete(text):
        return text
    url, _, query = text.partition("?")
    if "@" not in query and is_complete(url):  # so the password is not in the query
        names = [name for name, _ in parse_qsl(query) if not is_complete(f"{url}?{name}=1")]
        raise ValueError(
            f"takes no parameter {', '.join(names) or 'without a sound value'} in its URL"
        )
    raise ValueError(
        "takes a PostgreSQL URL such as postgresql://user:password@host/database; "
        "in its password, percent-encode the characters : / ? # @ %"
    )


def _replica_url(text: str) -> str:
    if text.startswith(EMBEDDED):
        raise ValueError("takes the URL of a standby such as postgresql://host/database")
    return _database_url(text)


def _cache(text: str) -> str:
    if text.lower() == "memory":
        return "memory"
    if "://" not in text:
        return str(_path(text))
    try:
        valid = re.match(r"rediss?://.", text) and urlsplit(text).port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("takes memory, a file's path, or a redis:// URL")
    return text


def _path(text: str) -> Path:
    return ROOT / Path(text).expanduser()


_PARSERS: dict[str, Callable[[str], Any]] = {
    "DATABASE_URL": _database_url,
    "DATABASE_POOL_SIZE": _integer(1, 100),
    "DATABASE_PREPARED_STATEMENTS": _choice("on", "off"),
    "DATABASE_REPLICA_URL": _replica_url,
    "GITHUB_API_BASE": parse_api_base,
    "GITHUB_TOKEN": _token,
    "GITHUB_TIMEOUT": _seconds,
    "GITHUB_CACHE": _cache,
    "GITHUB_CACHE_TTL": _integer(1, 604_800),
    "API_TOKEN": _tokens,
    "HOST": parse_host,
    "PORT": _integer(1, 65_535),
    "TRUSTED_HOSTS": parse_hosts,
    "WEB_CONCURRENCY": _integer(1, 64),
    "LOG_LEVEL": _choice("debug", "info", "warning", "error"),
    "LOG_FORMAT": _choice("text", "json"),
}
_NAMES = (*_PARSERS, *FILE_NAMES)
