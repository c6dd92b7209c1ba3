"""A field of a task is declared once, and everything that follows from it agrees.

Each test fails with sentences that name the file to change.
"""

import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from flask import Flask
from peewee import Model

from helpers import ROOT
from tracker.api.examples import EXAMPLE, TASK_EXAMPLE
from tracker.api.schemas import TaskInputSchema, TaskPatchSchema, TaskSchema
from tracker.database.changes import Change, FormerName, StarCount
from tracker.database.connection import database
from tracker.database.migrations import FOLDER
from tracker.database.models import IdempotencyKey, Task
from tracker.database.text import FUNCTIONS
from tracker.github.repository import Repository
from tracker.tasks.repositories import COLUMNS

pytestmark = pytest.mark.usefixtures("checked_out")

MODELS = "tracker/database/models.py"
TABLES = [Task, FormerName, IdempotencyKey, Change, StarCount]
SCHEMAS = "tracker/api/schemas.py"
EXAMPLES = "tracker/api/examples.py"
API = "docs/api.md"
SERVICE = {"id", "issue_url", "metadata_status", "completed_at", "version"}
SERVICE |= {"created_at", "updated_at"}


def columns(table: str) -> dict[str, str]:
    """Return the columns of a table as `schema.name`, each with its type and rules."""
    rows = database.execute_sql(
        "SELECT attname, format_type(atttypid, atttypmod), attnotnull, attgenerated <> '',"
        " pg_get_expr(adbin, adrelid) FROM pg_attribute"
        " LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
        (table,),
    )
    return {
        name: " ".join(
            (
                kind,
                "NOT NULL" if required else "NULL",
                "GENERATED" if generated else "DEFAULT",
                str(expression),
            )
        )
        for name, kind, required, generated, expression in rows.fetchall()
    }


def constraints(table: str) -> dict[str, str]:
    rows = database.execute_sql(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conrelid = %s::regclass",
        (table,),
    )
    return dict(rows.fetchall())


def indexes(table: str) -> dict[str, str]:
    rows = database.execute_sql(
        "SELECT relname, pg_get_indexdef(indexrelid) FROM pg_index"
        " JOIN pg_class ON oid = indexrelid WHERE indrelid = %s::regclass",
        (table,),
    )
    return dict(rows.fetchall())


@pytest.fixture
def modelled() -> Iterator[str]:
    """A schema with the tables that Peewee creates from the models."""
    with database.atomic() as transaction:
        database.execute_sql("CREATE SCHEMA modelled")
        database.execute_sql("SET LOCAL search_path TO modelled, public")
        database.create_tables(TABLES, safe=False)
        yield "modelled"
        transaction.rollback()


@pytest.mark.parametrize("model", TABLES)
@pytest.mark.parametrize("describe", [columns, constraints, indexes])
def test_the_migrations_and_the_models_agree(
    modelled: str, model: type[Model], describe: Any
) -> None:
    table = model._meta.table_name
    kind = {"columns": "column", "constraints": "constraint", "indexes": "index"}[describe.__name__]
    migrated, declared = (
        {
            name: text.replace(f"{schema}.", "")
            for name, text in describe(f"{schema}.{table}").items()
        }
        for schema in ("public", modelled)
    )
    number = len(list(FOLDER.glob("[0-9]*.py"))) + 1
    migration = f"tracker/database/migrations/{number:04}_...py"
    problems = [
        f"{kind} `{name}` is in {MODELS} but in no migration: add {migration}"
        for name in declared.keys() - migrated.keys()
    ]
    problems += [
        f"{kind} `{name}` is in a migration but not in {MODELS}: add it there, or drop it in "
        f"{migration}"
        for name in migrated.keys() - declared.keys()
    ]
    problems += [
        f"{kind} `{name}` is `{migrated[name]}` in the migrations, but `{declared[name]}` in "
        f"{MODELS}: correct it there, or add {migration}"
        for name in migrated.keys() & declared.keys()
        if migrated[name] != declared[name]
    ]
    assert not problems, "\n".join(sorted(problems))


def test_the_functions_of_the_database_are_those_of_text(modelled: str) -> None:
    for function in FUNCTIONS:
        database.execute_sql(function)
    migrated, declared = (
        dict(
            database.execute_sql(
                "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = %s::regnamespace",
                (schema,),
            ).fetchall()
        )
        for schema in ("public", modelled)
    )
    differing = {name for name in declared if migrated.get(name) != declared[name]}
    assert not differing, f"tracker/database/text.py differs from the migrations: {differing}"


def test_each_column_has_somebody_who_sets_it() -> None:
    github = {COLUMNS.get(field.name, field.name) for field in fields(Repository)}
    public = {field.name for field in Task.public_fields()}
    written = TaskInputSchema().fields.keys()
    problems = [
        f"column `{name}` is in {MODELS} but nobody sets it: add it to TaskInputSchema in {SCHEMAS}"
        " if the user does, to Repository in tracker/github/repository.py if GitHub does"
        for name in public - written - github - SERVICE
    ]
    problems += [
        f"field `{name}` is in TaskInputSchema but not in Task: add the column to {MODELS}"
        for name in written - public
    ]
    problems += [
        f"column `{field.name}` has no help_text: describe it in {MODELS}"
        for field in Task.public_fields()
        if not field.help_text
    ]
    assert not problems, "\n".join(sorted(problems))
    assert TaskPatchSchema().fields.keys() == written


def test_a_field_has_the_same_rules_in_input_and_model() -> None:
    problems = []
    for name, field in TaskInputSchema().fields.items():
        column = getattr(Task, name)
        if field.allow_none != column.null:
            problems.append(
                f"`{name}`: null is {'' if field.allow_none else 'in'}valid in TaskInputSchema "
                f"({SCHEMAS}), but not so in Task ({MODELS})"
            )
        if not field.required and not column.null and not column.default:
            problems.append(f"`{name}` may be missing, but its column has no default in {MODELS}")
    assert not problems, "\n".join(problems)


def test_the_response_and_the_examples_have_every_field() -> None:
    public = [field.name for field in Task.public_fields()]
    assert list(TaskSchema().fields) == public
    problems = [
        f"{constant} in {EXAMPLES} lacks `{name}`: add a value"
        for constant, example, names in (
            ("EXAMPLE", EXAMPLE, TaskInputSchema().fields),
            ("TASK_EXAMPLE", TASK_EXAMPLE, public),
        )
        for name in names
        if name not in example
    ]
    assert not problems, "\n".join(problems)


def test_the_examples_are_valid(app: Flask) -> None:
    with app.app_context():
        loaded = TaskInputSchema().load(EXAMPLE)
    assert {**EXAMPLE, "due_date": loaded["due_date"]} == loaded
    TaskSchema().load(TASK_EXAMPLE)
    response = app.test_client().post("/tasks", json=EXAMPLE)
    assert response.status_code == 201
    assert list(TASK_EXAMPLE) == list(response.get_json())
    volatile = {"id", "metadata_fetched_at", "created_at", "updated_at"}
    assert response.get_json() == TASK_EXAMPLE | {k: response.get_json()[k] for k in volatile}
    document = app.test_client().get("/openapi.json").get_json()
    operation = document["paths"]["/tasks"]["post"]
    content = [operation["requestBody"], operation["responses"]["201"]]
    examples = [part["content"]["application/json"]["example"] for part in content]
    assert examples == [EXAMPLE, TASK_EXAMPLE]


def test_the_documentation_has_every_field() -> None:
    section = (ROOT / API).read_text().partition("## A task\n")[2].partition("\n## ")[0]
    documented = {
        name: setter.startswith("you")
        for names, setter in re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", section, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", names)
    }
    public = {field.name for field in Task.public_fields()}
    written = TaskInputSchema().fields.keys()
    problems = [
        f"column `{name}` is in {MODELS} but not in {API}: add a row to the table in `A task`"
        for name in public - documented.keys()
    ]
    problems += [
        f"`{name}` is in the table of {API} but not in {MODELS}: delete the row"
        for name in documented.keys() - public
    ]
    problems += [
        f"`{name}`: {API} names another setter than TaskInputSchema in {SCHEMAS}"
        for name in public & documented.keys()
        if documented[name] != (name in written)
    ]
    assert not problems, "\n".join(sorted(problems))
