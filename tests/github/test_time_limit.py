"""The time limit of a block: gevent's in a worker, the alarm signal's in a command."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from patched import run_patched
from tracker.demo.github import Fault, GitHub
from tracker.github.time_limit import TimeLimitExceeded, time_limit


def test_a_block_in_the_main_thread_is_interrupted() -> None:
    started = time.monotonic()
    with pytest.raises(TimeLimitExceeded, match="no result in 0.2 seconds"), time_limit(0.2):
        time.sleep(5)
    assert 0.2 <= time.monotonic() - started < 1


def test_a_quick_block_is_not_interrupted_later() -> None:
    handler = signal.getsignal(signal.SIGALRM)
    with time_limit(0.2):
        pass
    assert signal.getsignal(signal.SIGALRM) is handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    time.sleep(0.3)


def test_a_block_in_another_thread_has_no_limit() -> None:
    def wait() -> bool:
        with time_limit(0.1):
            time.sleep(0.3)
        return True

    with ThreadPoolExecutor() as threads:
        assert threads.submit(wait).result()


def test_in_a_worker_each_greenlet_has_its_own_limit(github: GitHub) -> None:
    github.fault = Fault(drip=0.1)
    script = """
import requests
from tracker.config import Settings
from tracker.github.session import GitHubSession
session = GitHubSession(
    Settings(github_api_base=values["url"], github_cache="memory"), lambda response: None
)

def fetch(number):
    started = time.monotonic()
    url = f"{values['url']}/repos/drip/{number}"
    try:
        session.fetch(url, started + 0.2 * number, force_refresh=False)
    except requests.Timeout:
        return time.monotonic() - started

greenlets = [gevent.spawn(fetch, number) for number in (1, 2, 3)]
gevent.joinall(greenlets, raise_error=True)
print(json.dumps([greenlet.value for greenlet in greenlets]))
"""
    seconds = run_patched(script, url=github.url)
    assert seconds == pytest.approx([0.2, 0.4, 0.6], abs=0.15)
