"""The search line: it stands for the query of the API, and is written from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.tasks.filters import FILTERS
from tracker.web.search_line import read_search, write_search

FLASK = ("q", "flask err")


@pytest.mark.parametrize(
    ("line", "query"),
    [
        ("", []),
        ("flask  err", [FLASK]),
        (
            "status:open tag:upgrade flask err",
            [("status", "open"), ("tag", "upgrade"), FLASK],
        ),
        ("flask tag:a err tag:b", [("tag", "a"), ("tag", "b"), FLASK]),
        ('tag:"two words" owner:pallets', [("tag", "two words"), ("owner", "pallets")]),
        (r'tag:"a \"b\" \\"', [("tag", 'a "b" \\')]),
        ("created_after:2026-11-01T00:00:00Z", [("created_after", "2026-11-01T00:00:00Z")]),
        (r"\tag:x", [("q", "tag:x")]),
        (r"\\tag:x", [("q", r"\tag:x")]),
        ('"a tag:x" -b or c', [("q", '"a tag:x" -b or c')]),
        ("q:x nope:y tag:", [("q", "q:x nope:y tag:")]),
        ('tag:"open', [("q", 'tag:"open')]),
    ],
)
def test_a_line_stands_for_a_query(line: str, query: list[tuple[str, str]]) -> None:
    assert read_search(line) == query


values = st.text('aé"\\ :\n-', max_size=10)
names = st.sampled_from([name for name in FILTERS if name != "q"])
words = st.lists(values | st.builds("{}:{}".format, names, values), max_size=4)


@given(st.lists(st.tuples(names, values), max_size=4), words)
def test_a_written_line_is_read_as_the_same_query(
    filters: list[tuple[str, str]], searched: list[str]
) -> None:
    query = [*filters, *read_search(write_search([("q", " ".join(searched))]))]
    assert read_search(write_search(query)) == query


@given(st.text(max_size=100))
def test_any_line_can_be_read(line: str) -> None:
    query = read_search(line)
    assert read_search(write_search(query)) == query
