"""Two services start at once, on one data folder or one port."""

import re
from pathlib import Path

import psutil
import pytest

from helpers import GUNICORN, free_port, members, nothing_left, started, wait_for

pytestmark = pytest.mark.failure


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A new data folder."""
    return tmp_path / "postgres"


def postmaster(folder: Path) -> psutil.Process:
    return psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))


@pytest.mark.slow
def test_two_services_share_a_new_data_folder(
    embedded_environment: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    with (
        started(GUNICORN, embedded_environment, tmp_path / "first") as first,
        started(GUNICORN, embedded_environment, tmp_path / "second") as second,
    ):
        for service in (first, second):
            wait_for(service.answers)
        path = first.post("pallets/flask").headers["Location"]
        assert second.call("GET", path).status_code == 200
        assert first.end() == 0
        assert postmaster(folder).is_running()
        assert second.call("GET", path).status_code == 200
        assert second.end() == 0
        assert not members(-1, tmp_path)
        for service in (first, second):
            assert nothing_left(service)
            assert "Traceback" not in service.log


@pytest.mark.slow
def test_of_two_services_on_one_port_one_starts(
    embedded_environment: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    port = free_port()
    with (
        started(GUNICORN, embedded_environment, tmp_path / "first", port=port) as first,
        started(GUNICORN, embedded_environment, tmp_path / "second", port=port) as second,
    ):
        both = [first, second]
        wait_for(lambda: any(service.process.poll() is not None for service in both))
        (ended,) = (service for service in both if service.process.poll() is not None)
        (serving,) = (service for service in both if service is not ended)
        wait_for(serving.answers)
        assert ended.process.returncode == 1
        assert re.search(rf"127\.0\.0\.1.*{port}", ended.log)
        assert serving.answers("/health/ready")
        assert serving.post("pallets/flask").status_code == 201
        assert serving.end() == 0
        assert nothing_left(serving)
        assert "Traceback" not in serving.log + ended.log
