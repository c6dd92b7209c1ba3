"""The bound on what waits for GitHub: its places, the queue before it, and when it refuses."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from types import SimpleNamespace

import pytest

from service import PATIENCE, wait_for
from tracker import waiting
from tracker.errors import GitHubBusy
from tracker.waiting import RETRY_AFTER, SLOW, WaitingRoom

JUST_BELOW = SLOW - 0.01


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time that the room sees, which stands still until a test moves it."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Threads for those who wait."""
    with ThreadPoolExecutor(32) as threads:
        yield threads


def visit(room: WaitingRoom) -> None:
    with room.place():
        pass


def refused(room: WaitingRoom) -> GitHubBusy:
    """See that one who comes now is refused, and does not wait."""
    found: list[GitHubBusy] = []

    def come() -> None:
        try:
            visit(room)
        except GitHubBusy as error:
            found.append(error)

    thread = threading.Thread(target=come, daemon=True)
    thread.start()
    thread.join(2)
    (error,) = found
    return error


def queue(room: WaitingRoom, threads: ThreadPoolExecutor, count: int = 1) -> list[Future[None]]:
    """Have so many come to a room that is full, and see that they wait."""
    visits = [threads.submit(visit, room) for _ in range(count)]
    time.sleep(0.1)
    assert not any(visit.done() for visit in visits)
    return visits


@pytest.mark.parametrize("places", [1, 3])
def test_it_has_its_places_and_no_more(
    clock: SimpleNamespace, threads: ThreadPoolExecutor, places: int
) -> None:
    room = WaitingRoom(places)
    with ExitStack() as inside:
        for _ in range(places):
            inside.enter_context(room.place())
        (visit,) = queue(room, threads)
    visit.result(PATIENCE)


def test_those_who_leave_make_room_for_as_many(
    clock: SimpleNamespace, threads: ThreadPoolExecutor
) -> None:
    room, over = WaitingRoom(2), threading.Event()
    inside: list[int] = []

    def stay(number: int) -> None:
        with room.place():
            inside.append(number)
            over.wait(PATIENCE)

    first, second = ExitStack(), ExitStack()
    first.enter_context(room.place())
    second.enter_context(room.place())
    visits = [threads.submit(stay, number) for number in range(3)]
    for left, leaver in enumerate((first, second), 1):
        leaver.close()
        wait_for(lambda: len(inside) >= left)  # noqa: B023  it is called in this turn
        time.sleep(0.05)
        assert len(inside) == left
    over.set()
    for visit in visits:
        visit.result(PATIENCE)


def test_one_who_queues_comes_in_as_soon_as_another_leaves(
    clock: SimpleNamespace, threads: ThreadPoolExecutor
) -> None:
    room = WaitingRoom(1)
    with room.place():
        clock.now -= 2 * PATIENCE  # so long before it would look again by itself
        (visit,) = queue(room, threads)
    visit.result(PATIENCE)


def test_never_more_are_inside_than_there_are_places(threads: ThreadPoolExecutor) -> None:
    room, lock = WaitingRoom(3), threading.Lock()
    numbers = [0]

    def stay(_: int) -> int:
        with room.place():
            with lock:
                numbers.append(numbers[-1] + 1)
                highest = numbers[-1]
            time.sleep(0.001)
            with lock:
                numbers.append(numbers[-1] - 1)
            return highest

    assert set(threads.map(stay, range(300))) <= {1, 2, 3}
    assert numbers[-1] == 0


def test_while_the_first_has_not_been_inside_for_long_others_queue(
    clock: SimpleNamespace, threads: ThreadPoolExecutor
) -> None:
    room = WaitingRoom(1)
    with room.place():
        clock.now += JUST_BELOW
        visits = queue(room, threads, 5)
    for visit in visits:
        visit.result(PATIENCE)


def test_once_the_first_has_been_inside_for_long_others_are_refused_at_once(
    clock: SimpleNamespace,
) -> None:
    room = WaitingRoom(2)
    with room.place():
        clock.now += JUST_BELOW
        with room.place():
            clock.now += SLOW - JUST_BELOW
            error = refused(room)
    assert (error.status, error.retry_after) == (503, RETRY_AFTER)


def test_those_who_queue_are_refused_when_it_takes_long(
    clock: SimpleNamespace, threads: ThreadPoolExecutor
) -> None:
    room = WaitingRoom(1)
    with room.place():
        clock.now += JUST_BELOW
        visits = queue(room, threads, 5)
        clock.now += SLOW - JUST_BELOW
        assert {type(visit.exception(PATIENCE)) for visit in visits} == {GitHubBusy}


def test_by_the_real_clock_one_waits_for_no_longer_than_that() -> None:
    room = WaitingRoom(1)
    with room.place():
        started = time.monotonic()
        with pytest.raises(GitHubBusy):
            visit(room)
        assert SLOW - 0.1 <= time.monotonic() - started < SLOW + 1


def test_after_a_slow_one_left_nobody_queues_behind_those_who_just_came(
    clock: SimpleNamespace,
) -> None:
    room = WaitingRoom(1)
    with room.place():
        clock.now += SLOW
    with room.place():
        refused(room)


def test_a_slow_one_who_leaves_makes_room_all_the_same(
    clock: SimpleNamespace, threads: ThreadPoolExecutor
) -> None:
    room = WaitingRoom(2)
    slow, quick = ExitStack(), ExitStack()
    slow.enter_context(room.place())
    clock.now += SLOW
    quick.enter_context(room.place())
    slow.close()
    visit(room)
    quick.close()


@pytest.mark.parametrize(("stay", "queues"), [(JUST_BELOW, True), (SLOW, False)])
def test_a_quick_one_who_leaves_opens_the_queue_again(
    clock: SimpleNamespace, threads: ThreadPoolExecutor, stay: float, queues: bool
) -> None:
    room = WaitingRoom(1)
    with room.place():
        clock.now += 5 * SLOW
    with room.place():
        clock.now += stay
    with room.place():
        if queues:
            visits = queue(room, threads)
        else:
            refused(room)
            visits = []
    for waited in visits:
        waited.result(PATIENCE)


def test_an_error_inside_gives_the_place_back(clock: SimpleNamespace) -> None:
    room = WaitingRoom(1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), room.place():
            raise ZeroDivisionError
    visit(room)


def test_those_who_were_refused_take_no_place(clock: SimpleNamespace) -> None:
    room = WaitingRoom(1)
    with room.place():
        clock.now += SLOW
        for _ in range(3):
            refused(room)
    visit(room)


def test_a_thread_hands_the_turn_on_before_it_waits_for_github(steps: list[None]) -> None:
    with WaitingRoom(1).place():
        assert len(steps) == 1
