"""Requests that have come together read their tasks by one statement."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from service import wait_for
from tracker.tasks.loader import Batch, current, foresee, load

NAMES = {1: "one", 2: "two", 3: "three"}
Read = Callable[[list[int]], dict[int, str]]


@pytest.mark.parametrize(
    ("request_line", "task_id"),
    [
        ("GET /tasks/7 HTTP/1.1", 7),
        (f"GET /tasks/{'9' * 18} HTTP/1.1", 10**18 - 1),
        (f"GET /tasks/1{'0' * 18} HTTP/1.1", None),
        ("GET /tasks/07 HTTP/1.1", None),
        ("GET /tasks/-7 HTTP/1.1", None),
        ("GET /tasks/7?fields=title HTTP/1.1", None),
        ("GET /tasks/7/refresh HTTP/1.1", None),
        ("GET /tasks HTTP/1.1", None),
        ("PATCH /tasks/7 HTTP/1.1", None),
        ("", None),
    ],
)
def test_only_a_plain_read_of_one_task_is_foreseen(request_line: str, task_id: int | None) -> None:
    assert foresee(f"{request_line}\r\nHost: localhost\r\n\r\n".encode()) == task_id


@pytest.mark.parametrize("end", ["", "\r\n", "\r\n\r"])
def test_a_request_on_its_way_is_not_foreseen(end: str) -> None:
    assert foresee(f"GET /tasks/7 HTTP/1.1\r\nHost: localhost{end}".encode()) is None


@pytest.fixture
def reads() -> list[list[int]]:
    """The ids of each reading that `reading` made."""
    return []


@pytest.fixture
def reading(reads: list[list[int]]) -> Read:
    def read(ids: list[int]) -> dict[int, str]:
        reads.append(sorted(ids))
        return {each: NAMES[each] for each in ids if each in NAMES}

    return read


@pytest.fixture
def batch() -> Iterator[Batch]:
    batch = Batch([1, 2, 9, 2])
    token = current.set(batch)
    yield batch
    current.reset(token)


def test_the_first_of_a_batch_reads_for_all(
    batch: Batch, reads: list[list[int]], reading: Read
) -> None:
    assert [batch.load(each, reading) for each in (2, 1, 2, 9)] == ["two", "one", "two", None]
    assert reads == [[1, 2, 9]]


def test_what_is_not_of_the_batch_is_read_by_itself(
    batch: Batch, reads: list[list[int]], reading: Read
) -> None:
    assert load(3, reading) == "three"
    assert reads == [[3]]


def test_a_request_has_one_reading_of_its_batch(
    batch: Batch, reads: list[list[int]], reading: Read
) -> None:
    assert [load(1, reading), load(1, reading)] == ["one", "one"]
    assert reads == [[1, 2, 9], [1]]


def test_a_failed_reading_is_told_to_all_and_not_repeated(reads: list[list[int]]) -> None:
    def fail(ids: list[int]) -> dict[int, str]:
        reads.append(ids)
        raise LookupError

    batch = Batch([1, 2])
    for each in (1, 2):
        with pytest.raises(LookupError):
            batch.load(each, fail)
    assert len(reads) == 1


def test_whoever_comes_during_a_reading_hands_the_turn_on_and_waits(steps: list[None]) -> None:
    begun, go_on = Event(), Event()

    def read(ids: list[int]) -> dict[int, str]:
        begun.set()
        assert go_on.wait(20)
        return NAMES

    batch = Batch([1, 2])
    with ThreadPoolExecutor() as pool:
        first = pool.submit(batch.load, 1, read)
        assert begun.wait(20)
        second = pool.submit(batch.load, 2, read)
        wait_for(lambda: len(steps) == 1)
        assert not second.done()
        go_on.set()
        assert (first.result(), second.result()) == ("one", "two")
