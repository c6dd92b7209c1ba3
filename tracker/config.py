"""Settings from the environment or `.env`, checked once, at the start."""

import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .dotenv import Dotenv, own_environment, read_dotenv
from .secret_files import FILE_NAMES, exposed, read_secret_files

VERSION = "0.1.0"
ROOT = Path(__file__).resolve().parent.parent
INSTANCE = ROOT / "instance"
EMBEDDED = "embedded:"


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
    files = read_secret_files({**dotenv.values, **own_environment()}, ROOT)
    return dotenv.unknown(_NAMES) + [w for each in (path, *files.paths) for w in exposed(each)]


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


def _api_base(text: str) -> str:
    message = "takes an http or https URL such as https://api.github.com"
    try:
        url = urlsplit(text)
        valid = url.scheme in {"http", "https"} and url.hostname and url.port != 0
    except ValueError:
        valid = False
    if not valid or url.query or url.fragment or url.username is not None:
        raise ValueError(message)
    return text.rstrip("/")


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
        return EMBEDDED + str(_path(text.removeprefix(EMBEDDED)))
    import psycopg2.extensions  # here: the command line reads the settings, and needs no database

    try:
        parameters = psycopg2.extensions.parse_dsn(text)
    except psycopg2.ProgrammingError:
        parameters = {}
    if "dbname" not in parameters or ("://" in text and not _is_plausible(parameters)):
        raise ValueError(
            "takes a PostgreSQL URL such as postgresql://user:password@host/database; "
            "in its password, percent-encode the characters : / ? # @ %"
        )
    return text


def _is_plausible(parameters: dict[str, str]) -> bool:
    """Return whether no part of the password was parsed as the host, port or database.

    libpq does so if the password contains `/` or `@`. PostgreSQL's errors would then show it.
    """
    ports = parameters.get("port", "").split(",")
    names = parameters.get("host", "") + parameters["dbname"]
    return "@" not in names and all(port.isdigit() or not port for port in ports)


def _cache(text: str) -> str:
    if text == "memory" or re.match(r"rediss?://.", text):
        return text
    if "://" in text:
        raise ValueError("takes memory, a file's path, or a redis:// URL")
    return str(_path(text))


def _path(text: str) -> Path:
    return ROOT / Path(text).expanduser()


def _host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", text):
        raise ValueError(f"takes a host name or an IP address to listen on, not {text!r}")
    return text


def _hosts(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    sound = re.compile(r"\.?[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]")
    if not names or not all(map(sound.fullmatch, names)):
        raise ValueError("takes names such as tracker.example.com,.example.org, without a port")
    return tuple(name.strip("[]").lower() for name in names)


_PARSERS: dict[str, Callable[[str], Any]] = {
    "DATABASE_URL": _database_url,
    "DATABASE_POOL_SIZE": _integer(1, 100),
    "DATABASE_PREPARED_STATEMENTS": _choice("on", "off"),
    "DATABASE_REPLICA_URL": _database_url,
    "GITHUB_API_BASE": _api_base,
    "GITHUB_TOKEN": _token,
    "GITHUB_TIMEOUT": _seconds,
    "GITHUB_CACHE": _cache,
    "GITHUB_CACHE_TTL": _integer(1, 604_800),
    "API_TOKEN": _tokens,
    "HOST": _host,
    "PORT": _integer(1, 65_535),
    "TRUSTED_HOSTS": _hosts,
    "WEB_CONCURRENCY": _integer(1, 64),
    "LOG_LEVEL": _choice("debug", "info", "warning", "error"),
    "LOG_FORMAT": _choice("text", "json"),
}
_NAMES = (*_PARSERS, *FILE_NAMES)
