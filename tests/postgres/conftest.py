"""A data folder for each test of the embedded server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from data_folder import copied, running_postmaster
from tracker.postgres import server as embedded


@pytest.fixture(scope="session")
def initialized_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An initialized data folder to copy, whose server does not wait for the disk."""
    folder = tmp_path_factory.mktemp("initialized") / "postgres"
    with embedded.running(folder):
        pass
    with (folder / "postgresql.conf").open("a") as settings:
        settings.write("fsync = off\n")
    return folder


@pytest.fixture
def new_folder(tmp_path: Path) -> Iterator[Path]:
    """The path of a data folder to create; a server that a failed test leaves there is killed."""
    folder = tmp_path / "postgres"
    yield folder
    if postmaster := running_postmaster(folder):
        postmaster.kill()


@pytest.fixture
def folder(new_folder: Path, initialized_folder: Path) -> Path:
    """An initialized data folder without tables."""
    return copied(initialized_folder, new_folder)


@pytest.fixture(scope="module")
def running_folder(
    initialized_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The data folder of a running server, for tests that change neither."""
    folder = copied(initialized_folder, tmp_path_factory.mktemp("running") / "postgres")
    with embedded.running(folder):
        yield folder
