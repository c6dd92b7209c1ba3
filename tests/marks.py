"""Marks for the cases of a parametrized test."""

from typing import Any

import pytest


def slow(*values: Any) -> Any:
    """Mark a case `slow`: a quicker one of the same test stays in the plain suite."""
    return pytest.param(*values, marks=pytest.mark.slow)
