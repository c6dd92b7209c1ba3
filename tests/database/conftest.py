"""A connection for the tests of statements."""

from collections.abc import Iterator

import pytest
from flask import Flask

from tracker.database.connection import connection


@pytest.fixture
def checked_out(app: Flask) -> Iterator[None]:
    """Check out a connection, which the test's statements use."""
    with connection():
        yield
