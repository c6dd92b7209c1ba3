"""Connections of psycopg2 on which every wait is bounded."""

import select
import socket
from typing import Any

import psycopg2
import psycopg2.extensions
from gevent import Timeout, monkey
from gevent.socket import wait_read, wait_write
from psycopg2.extensions import POLL_OK, POLL_WRITE, STATUS_SETUP

CONNECT_TIMEOUT = 3  # seconds
RESPONSE_TIMEOUT = 7.0  # seconds for a statement; longer than a healthy server's own limit
LOCK_TIMEOUT = 2_000  # milliseconds; shorter than CHECKOUT_TIMEOUT, so requests outlast a lock
STATEMENT_TIMEOUT = 5_000  # milliseconds
# These override the settings of a role, a database or a URL. They are set by statements, since
# poolers refuse or drop startup options.
SETTINGS = {
    "lock_timeout": str(LOCK_TIMEOUT),
    "statement_timeout": str(STATEMENT_TIMEOUT),
    "idle_in_transaction_session_timeout": str(STATEMENT_TIMEOUT),
    "default_transaction_isolation": "read committed",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
}
# A migration may wait for a lock, and may take as long as it needs.
UNLIMITED = SETTINGS | {name: "0" for name in SETTINGS if name.endswith("timeout")}

native_poll = monkey.get_original("select", "poll")  # a look, not a wait: no greenlet switch


class Connection(psycopg2.extensions.connection):
    """A connection that knows its prepared statements, and whether a BEGIN is due."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prepared: set[str] = set()
        self.begin_pending = False


def use_gevent() -> None:
    """Run other greenlets while one waits for PostgreSQL, in this whole process.

    https://www.psycopg.org/docs/advanced.html#support-for-coroutine-libraries
    """
    psycopg2.extensions.set_wait_callback(wait)


def wait(connection: psycopg2.extensions.connection) -> None:
    """Wait for the server to accept the connection or to answer a statement.

    The server's statement_timeout, which is shorter, does not help where the server itself hangs.
    Then psycopg2's `cancel()` would not help either: it keeps the GIL until the server responds.

    Raises:
        ResponseTimeout: a statement took too long; psycopg2 then closes the connection.
        psycopg2.OperationalError: the connection took too long.
    """
    if connection.status == STATUS_SETUP:
        limit, error = (
            float(CONNECT_TIMEOUT),
            psycopg2.OperationalError("the server does not respond"),
        )
    else:
        limit = getattr(connection, "response_timeout", RESPONSE_TIMEOUT)
        error = ResponseTimeout("the server does not respond")
    with Timeout(limit, error):
        while (state := connection.poll()) != POLL_OK:
            if state == POLL_WRITE:
                wait_write(connection.fileno())
            elif not has_input(connection):  # libpq reads a long result in parts of 16 KiB
                wait_read(connection.fileno())


def has_input(connection: psycopg2.extensions.connection) -> bool:
    """Return whether input of the server is waiting to be read."""
    poll = native_poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


class ResponseTimeout(psycopg2.OperationalError):
    """The server did not respond in time; the connection is closed."""


class WrongEncoding(psycopg2.OperationalError):
    """The database has another encoding than UTF8."""


def split_hosts(parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the host parameters of each host of a libpq URL, and take them out of the URL's.

    libpq goes through several hosts itself, but not under a wait callback when the first one
    accepts the connection and says nothing.
    """
    found = {
        name: str(parameters.pop(name)).split(",")
        for name in ("host", "hostaddr", "port")
        if name in parameters
    }
    count = max((len(values) for values in found.values()), default=1)
    return [
        {name: values[min(n, len(values) - 1)] for name, values in found.items()}
        for n in range(count)
    ]


def resolve(parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters with each address of the host: libpq's look-up blocks all greenlets.

    Raises:
        psycopg2.OperationalError: the host is unknown.
    """
    host = parameters.get("host", "")
    if not host or host.startswith("/") or "hostaddr" in parameters:
        return [parameters]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise psycopg2.OperationalError(f'host "{host}" is unknown: {error}') from error
    addresses = dict.fromkeys(address[0] for *_, address in found)
    return [{**parameters, "hostaddr": address} for address in addresses]


def session_settings(settings: dict[str, str]) -> str:
    """Return the statements that apply settings to a session."""
    return "".join(f"SET {name} = '{value}'; " for name, value in settings.items())


def transaction_settings(settings: dict[str, str]) -> str:
    """Return the statements that apply settings to the transaction that they are sent with."""
    names = {"default_transaction_isolation": "transaction_isolation"}  # of this transaction
    return "".join(
        f"SET LOCAL {names.get(name, name)} = '{value}'; " for name, value in settings.items()
    )


def connect(parameters: dict[str, Any], first: str = "") -> Connection:
    """Open a connection with autocommit, and execute the first statements.

    Raises:
        psycopg2.OperationalError: the server can't be reached.
        WrongEncoding: the database can't store all texts.
    """
    connection: Connection = psycopg2.connect(**parameters, connection_factory=Connection)
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        connection.close()
        raise WrongEncoding(f"Database has the encoding {encoding}, and must have UTF8")
    connection.autocommit = True
    if first:
        with connection.cursor() as cursor:
            cursor.execute(first)
    return connection
