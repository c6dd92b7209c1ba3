"""Tasks as rows of a spreadsheet."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.api.examples import TASK_EXAMPLE
from tracker.tasks.spreadsheet import COLUMNS, guard, to_row, unguard, write_rows

CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
FORMULAS = st.text("'=+-@\t\r\n\"x")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''-1"])
def test_a_cell_that_looks_like_a_formula_gets_a_quote(text: str) -> None:
    assert guard(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "1+1", " =1", "'tis", "''", "ü-1", "\n=1"])
def test_another_cell_stays_as_it_is(text: str) -> None:
    assert guard(text) == unguard(text) == text


@given(st.lists(st.lists(CELLS | FORMULAS, min_size=1), min_size=1))
def test_cells_read_back_are_those_that_were_written(rows: list[list[str]]) -> None:
    text = write_rows([[guard(cell) for cell in row] for row in rows])
    read = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert [[unguard(cell) for cell in row] for row in read] == rows


def test_every_cell_is_quoted() -> None:
    row = to_row(json.dumps(TASK_EXAMPLE))
    text = write_rows([COLUMNS, row])
    assert text.split("\r\n")[0] == ",".join(f'"{name}"' for name in TASK_EXAMPLE)
    cells = dict(zip(COLUMNS, row, strict=True))
    assert cells["tags"] == "reading\nflask"
    assert (cells["id"], cells["archived"], cells["completed_at"]) == ("1", "false", "")
    assert '"1","Read how Flask signals errors","' in text
    assert text.endswith('Z"\r\n')
