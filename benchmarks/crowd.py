"""Many clients of one service, in a process of their own: `python -m benchmarks.crowd ADDRESS`.

Each of CREATORS creates tasks on a repository of its own, one after the other. Each of SLOW sends
one byte per second: of a head, or of a body. When the service closes a connection, its client
opens another one. For each line read from standard input the process writes its `State` as JSON;
it ends when standard input closes.
"""

import asyncio
import json
import re
import resource
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

from benchmarks.failures import BenchmarkError

CREATORS = 500
SLOW = 1_000
START = 10.0  # seconds in which the clients start, evenly spread; then their timeouts are too
PAUSE = 0.1  # seconds before a client connects again
FILES = CREATORS + SLOW + 100  # open files that the process needs
HEAD = b"POST /tasks HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
SLOW_STARTS = (HEAD + b"X-Slow: ", HEAD + b"Content-Length: 5000\r\n\r\n")


@dataclass
class State:
    """The clients' open connections, and the statuses of the responses to creations."""

    creating: int = 0
    slow: int = 0
    statuses: dict[int, int] = field(default_factory=dict)  # 0: the connection closed


@contextmanager
def running(address: str) -> Iterator[Callable[[], State]]:
    """Run the clients for the time of the block; yields a function that returns their state.

    Raises:
        BenchmarkError: the system allows too few open files.
    """
    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed != resource.RLIM_INFINITY and allowed < FILES:
        raise BenchmarkError(
            f"the part waiting needs {FILES} open files, and the hard limit is {allowed}; "
            "raise it (ulimit -Hn)"
        )
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.crowd", address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C would reach the whole process group
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin
    assert stdout

    def read() -> State:
        print(file=stdin, flush=True)
        line = stdout.readline()
        if not line:
            raise BenchmarkError("the process of the waiting clients ended; see its traceback")
        found = json.loads(line)
        statuses = {int(status): number for status, number in found.pop("statuses").items()}
        return State(**found, statuses=statuses)

    with process:  # closes the pipe, which ends the process
        yield read


async def main(address: str) -> None:
    """Start the clients, and report their state until standard input closes."""
    _, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Here and not in the parent process, so that the service keeps the limit it is started with.
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, allowed))
    url = urlsplit(address)
    assert url.hostname
    assert url.port
    crowd = Crowd(url.hostname, url.port)
    clients = asyncio.create_task(crowd.start())
    while await asyncio.to_thread(sys.stdin.readline):
        if clients.done():
            clients.result()  # raises: a client failed
        print(json.dumps(asdict(crowd.state)), flush=True)
    clients.cancel()


class Crowd:
    """The clients."""

    def __init__(self, host: str, port: int) -> None:
        self.state = State()
        self._host = host
        self._port = port

    async def start(self) -> None:
        """Start the clients, and wait for all of them."""
        async with asyncio.TaskGroup() as clients:
            for number in range(CREATORS):
                clients.create_task(self._repeat(self._create, number))
                for slow in range(number, SLOW, CREATORS):
                    clients.create_task(self._repeat(self._send_slowly, slow))
                await asyncio.sleep(START / CREATORS)

    async def _repeat(self, client: Callable[..., Awaitable[float]], number: int) -> None:
        """Run the client over and over, each time with a new connection."""
        while True:
            pause = PAUSE
            with suppress(OSError):
                reader, writer = await asyncio.open_connection(self._host, self._port)
                try:
                    pause = await client(number, reader, writer)
                finally:
                    writer.close()
            await asyncio.sleep(pause)

    async def _create(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> float:
        """Create a task, and return the seconds to pause: those of Retry-After, if any."""
        body = json.dumps({"title": f"Task {number}", "repository": f"silent/number-{number}"})
        head = HEAD + f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        writer.write(head + body.encode())
        self.state.creating += 1
        try:
            response = await reader.read()
        finally:
            self.state.creating -= 1
        found = re.match(rb"HTTP/1\.1 (\d{3})", response)
        status = int(found[1]) if found else 0
        self.state.statuses[status] = self.state.statuses.get(status, 0) + 1
        seconds = re.search(rb"\r\nRetry-After: (\d+)\r\n", response, re.IGNORECASE)
        return float(seconds[1]) if seconds else PAUSE

    async def _send_slowly(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> float:
        """Send one byte per second until the service responds or closes the connection."""
        writer.write(SLOW_STARTS[number % len(SLOW_STARTS)])
        self.state.slow += 1
        try:
            while True:
                writer.write(b" ")
                try:
                    async with asyncio.timeout(1):
                        await reader.read(1)
                except TimeoutError:
                    continue
                return PAUSE
        finally:
            self.state.slow -= 1


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
