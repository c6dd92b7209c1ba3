"""Each format of an import is found, and read one record at a time."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.tasks.formats import Format, read_records
from tracker.tasks.json_arrays import MalformedArray
from tracker.tasks.records import RECORD_MAX, Record
from tracker.tasks.spreadsheet import to_cell, write_rows

TASK = {"title": "Read", "repository": "pallets/flask"}
REPOSITORY = {"full_name": "pallets/flask", "html_url": "https://github.com/pallets/flask"}
STARRED = {"title": "pallets/flask", "repository": "https://github.com/pallets/flask"}
NAMED = {"title": "pallets/flask", "repository": "pallets/flask"}
EXPORTED = {
    "uuid": "7",
    "entry": "20300101T090000Z",
    "description": "Read",
    "status": "pending",
    "project": "pallets/flask",
}
TAKEN: dict[str, Any] = {
    **TASK,
    "description": None,
    "status": "open",
    "priority": "normal",
    "tags": [],
    "due_date": None,
}

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


def read(body: str | bytes, named: Format | None = None, step: int = 50) -> list[Record]:
    """Return the records of a body that arrives in small parts."""
    data = body.encode() if isinstance(body, str) else body
    chunks = (data[start : start + step] for start in range(0, len(data), step))
    return list(read_records(chunks, named, "github.com"))


def values(body: str | bytes, named: Format | None = None) -> list[Any]:
    records = read(body, named)
    assert [record.problem for record in records if record.problem] == []
    return [record.value for record in records]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (json.dumps(TASK), [TASK]),
        (f"\ufeff\n{json.dumps(TASK)}\r\n\n{json.dumps(TASK)}", [TASK, TASK]),
        (json.dumps([TASK, TASK], indent=2), [TASK, TASK]),
        ("[ ]", []),
        ("", []),
        ("\n \n", []),
        (json.dumps([REPOSITORY]), [STARRED]),
        (json.dumps(REPOSITORY), [STARRED]),
        (json.dumps([REPOSITORY]) + json.dumps([REPOSITORY]), [STARRED, STARRED]),
        (json.dumps([{"starred_at": "2030-01-01T00:00:00Z", "repo": REPOSITORY}]), [STARRED]),
        (json.dumps([{"nameWithOwner": "pallets/flask", "description": "A framework"}]), [NAMED]),
        (json.dumps([EXPORTED]), [TAKEN]),
        ("title,repository\nRead,pallets/flask\n", [TASK]),
        ('\ufeffRepository;Title;tags\r\n"pallets/flask";"Read";""\r\n', [TASK]),
        ("repository\ttitle\npallets/flask\tRead", [TASK]),
        ("pallets/flask", [NAMED]),
        ("pallets/flask Read", [TASK]),
        ("pallets/flask: Read", [TASK | {"repository": "pallets/flask:"}]),
        ("pallets/flask\t- Read", [TASK]),
        (
            "git clone https://github.com/pallets/flask",
            [NAMED | {"repository": "git clone https://github.com/pallets/flask"}],
        ),
        (
            "[Flask](https://github.com/pallets/flask) Read",
            [TASK | {"repository": "[Flask](https://github.com/pallets/flask)"}],
        ),
    ],
)
def test_the_format_of_a_body_is_found(body: str, expected: list[Any]) -> None:
    assert values(body) == expected


def test_a_named_format_is_not_guessed() -> None:
    assert values("title,repository", Format.LINES)[0]["repository"] == "title,repository"
    assert values(json.dumps(EXPORTED), Format.JSONL) == [EXPORTED]
    assert values("title\nRead", Format.CSV) == [{"title": "Read"}]
    assert "Not valid JSON" in read("pallets/flask", Format.STARRED)[0].problem


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"status": "completed", "start": "20300101T090000Z"}, {"status": "done"}),
        ({"status": "waiting"}, {"status": "open"}),
        ({"start": "20300101T090000Z"}, {"status": "in_progress"}),
        ({"priority": "H"}, {"priority": "high"}),
        ({"priority": "L"}, {"priority": "low"}),
        ({"priority": ["H"]}, {"priority": "normal"}),
        ({"due": "20300131T230000Z"}, {"due_date": "2030-01-31"}),
        ({"due": 5}, {"due_date": 5}),
        ({"tags": ["a", "b"]}, {"tags": ["a", "b"]}),
        ({"annotations": [{"description": "a"}, {"description": "b"}]}, {"description": "a\nb"}),
        ({"annotations": 5}, {"description": None}),
        ({"githubrepo": "psf/requests"}, {"repository": "psf/requests"}),
        ({"githubnumber": 5.0}, {"issue": 5}),
    ],
)
def test_a_task_of_taskwarrior_keeps_its_meaning(changes: Any, expected: Any) -> None:
    assert values(json.dumps([EXPORTED | changes])) == [TAKEN | expected]


def test_deleted_tasks_of_taskwarrior_are_left_out() -> None:
    assert values(json.dumps([EXPORTED | {"status": "deleted"}, EXPORTED])) == [TAKEN]


def test_a_cell_holds_a_tag_a_line_and_formulas_are_unguarded() -> None:
    body = 'title,repository,tags,issue\n"\'=1+1",a/b,"x\ny",12\n"\'\'@",a/b,,a\n'
    assert values(body) == [
        {"title": "=1+1", "repository": "a/b", "tags": ["x", "y"], "issue": 12},
        {"title": "'@", "repository": "a/b", "issue": "a"},
    ]


@pytest.mark.parametrize(
    ("body", "number", "problem"),
    [
        ('{}\n{"a": 1, "a": 2}', 2, 'the key "a" is repeated'),
        ('{}\n{"a": NaN}', 2, "NaN is not a JSON number"),
        (b"a/b\n\xff", 2, "Must be UTF-8."),
        ("a/b\n" + "x" * (RECORD_MAX + 1), 2, "Exceeds the limit of 256 KiB."),
        ("{}\n" + "[" * 100_000, 2, "nested too deeply"),
        ("title,repository\na,b,c", 2, "Has 3 cells, and the header has 2."),
        ('title,repository\n"a\nb",c,d', 2, "Has 3 cells"),
        ('title,repository\na,b\n"a', 3, "unexpected end of data"),
        ('title,repository\n"' + "a\n" * RECORD_MAX, 2, "field larger than field limit"),
        ('title,repository\n"' + ("a" * 100_000 + '\n","') * 3, 2, "Exceeds the limit of 256 KiB."),
        (b"title,repository\n\xff", 2, "Must be UTF-8."),
        ("repository,repository\na,b", 1, "A column is repeated."),
        ('[{"a": "' + "x" * RECORD_MAX + '"}]', 1, "Exceeds the limit of 256 KiB."),
    ],
)
def test_a_bad_record_is_told_by_its_line(body: str | bytes, number: int, problem: str) -> None:
    first = next(record for record in read(body, step=65_536) if record.problem)
    assert (first.number, problem in first.problem) == (number, True), first.problem
    assert len(first.text) <= 200


def test_a_bad_cell_of_several_lines_is_one_record() -> None:
    body = b'repository,description\na/b,"one\n\xe9\nc/d,evil"\ne/f,good\n'
    first, second = read(body)
    assert (first.number, first.problem) == (2, "Must be UTF-8.")
    assert (second.number, second.value) == (5, {"repository": "e/f", "description": "good"})


@pytest.mark.parametrize("cell", ["x" * (RECORD_MAX + 1), "x\n" * RECORD_MAX])
def test_the_rest_of_a_cell_without_an_end_is_no_record(cell: str) -> None:
    (only,) = read(f'repository,description\na/b,"one\n{cell}\nc/d,evil"\ne/f,good\n')
    assert only.number == 2
    assert "Records after it are not read" in only.problem


@pytest.mark.parametrize(
    "body", ["[{}", "[{},]", "[{}{}]", "[{}] x", '[{"a"', "[{},", "[{}]]", '[{"a": 1, "a": 2}]']
)
def test_an_array_with_an_error_is_refused(body: str) -> None:
    with pytest.raises(MalformedArray):
        read(body, step=3)


def test_an_element_that_does_not_end_is_given_up() -> None:
    def endless() -> Iterator[bytes]:
        yield b'[{"a": "'
        for _ in range(100):
            yield b"x" * 65_536
        raise AssertionError

    with pytest.raises(MalformedArray, match="Unterminated string"):
        list(read_records(endless(), None, "github.com"))


@given(st.lists(TEXTS), st.integers(1, 9))
def test_an_array_is_read_whatever_its_parts(texts: list[str], step: int) -> None:
    items = [{"x": text} for text in texts]
    body = json.dumps(items, ensure_ascii=False, indent=1)
    assert [record.value for record in read(body, Format.JSONL, step)] == items


@given(st.lists(st.tuples(TEXTS, TEXTS)))
def test_a_table_is_read_as_an_export_writes_it(rows: list[tuple[str, str]]) -> None:
    cells = [[to_cell(text) for text in row] for row in rows]
    found = values(write_rows([["title", "repository"], *cells]))
    assert [(each.get("title", ""), each.get("repository", "")) for each in found] == rows


def test_an_issue_of_many_digits_in_a_cell_stays_text() -> None:
    digits = "9" * 5_000
    body = f"title,repository,issue\nRead,a/b,{digits}\n"
    assert values(body) == [{"title": "Read", "repository": "a/b", "issue": digits}]


@pytest.mark.parametrize("space", ["\u00a0", "\u3000"])
def test_a_line_of_unicode_spaces_is_blank(space: str) -> None:
    assert values(f"a/b\n{space}\n") == [{"title": "a/b", "repository": "a/b"}]


def test_a_task_of_taskwarrior_without_a_number_has_no_issue() -> None:
    assert "issue" not in values(json.dumps([EXPORTED]))[0]
