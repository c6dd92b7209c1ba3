"""The model, validation and views of both FastAPI peers, as in FastAPI's tutorial."""

import os
from collections.abc import Iterator
from datetime import date, datetime, timezone
from typing import Annotated, Any, Literal

import httpx
from fastapi import APIRouter, Depends, Header, HTTPException, Query, Response
from pydantic import StringConstraints
from sqlalchemy import ARRAY, BigInteger, DateTime, Index, Text
from sqlmodel import Field, Session, SQLModel, col, create_engine, or_, select

GITHUB = os.environ["GITHUB_API_BASE"]
TIMEOUT = 10  # seconds

# Two connections for each client: the request of a client that disconnected may still hold one,
# and an exhausted pool would make a commit on the event loop block the whole process.
CONNECTIONS = int(os.environ["PEER_THREADS"])
engine = create_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg2://"),
    pool_size=CONNECTIONS,
    max_overflow=CONNECTIONS,
)

Status = Literal["open", "in_progress", "done"]
Priority = Literal["low", "normal", "high"]
Title = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\r\n]*$"),
]
Description = Annotated[str, StringConstraints(max_length=10_000)]
Tag = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=50)]
RepositoryName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,39}/[A-Za-z0-9._-]{1,100}$")
]
Timestamp: Any = DateTime(timezone=True)


def _now() -> datetime:
    return datetime.now(timezone.utc)


class TaskBase(SQLModel):
    """The columns that are in the response too."""

    title: str = Field(sa_type=Text)
    description: str | None = Field(default=None, sa_type=Text)
    status: str = Field(default="open", sa_type=Text, index=True)
    priority: str = Field(default="normal", sa_type=Text)
    tags: list[str] = Field(default_factory=list, sa_type=ARRAY(Text))
    due_date: date | None = None
    repository: str = Field(sa_type=Text)
    repository_url: str | None = Field(default=None, sa_type=Text)
    repository_description: str | None = Field(default=None, sa_type=Text)
    stars: int | None = Field(default=None, sa_type=BigInteger)
    language: str | None = Field(default=None, sa_type=Text)
    archived: bool | None = None
    pushed_at: datetime | None = Field(default=None, sa_type=Timestamp)
    metadata_status: str = Field(default="current", sa_type=Text)
    metadata_fetched_at: datetime | None = Field(default_factory=_now, sa_type=Timestamp)
    version: int = Field(default=1, sa_type=BigInteger)
    created_at: datetime = Field(default_factory=_now, sa_type=Timestamp)
    updated_at: datetime = Field(default_factory=_now, sa_type=Timestamp)


class Task(TaskBase, table=True):
    """A row of the table."""

    __tablename__ = "tasks"
    __table_args__ = (Index("tasks_created_at", "created_at", "id"),)

    id: int | None = Field(default=None, primary_key=True, sa_type=BigInteger)
    repository_id: int | None = Field(default=None, sa_type=BigInteger)


class TaskPublic(TaskBase):
    """A task in a response."""

    id: int


class TaskCreate(SQLModel):
    """A task in a request."""

    model_config = {"extra": "forbid"}

    title: Title
    description: Description | None = None
    status: Status = "open"
    priority: Priority = "normal"
    tags: list[Tag] = Field(default_factory=list, max_length=20)
    due_date: date | None = None
    repository: RepositoryName


class TaskUpdate(SQLModel):
    """Changes to a task; fields that are absent keep their values."""

    model_config = {"extra": "forbid"}

    title: Title | None = None
    description: Description | None = None
    status: Status | None = None
    priority: Priority | None = None
    tags: list[Tag] | None = Field(default=None, max_length=20)
    due_date: date | None = None


class Repository(SQLModel):
    """The stored part of GitHub's response, under the names of the columns."""

    repository_id: int = Field(validation_alias="id")
    repository: str = Field(validation_alias="full_name")
    repository_url: str = Field(validation_alias="html_url")
    repository_description: str | None = Field(validation_alias="description")
    stars: int = Field(validation_alias="stargazers_count")
    language: str | None
    archived: bool
    pushed_at: datetime | None
    metadata_fetched_at: datetime = Field(default_factory=_now)


def get_session() -> Iterator[Session]:
    """Open a session for one request."""
    with Session(engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]
router = APIRouter(prefix="/tasks")


async def fetch_repository(client: httpx.AsyncClient, name: str) -> Repository:
    """Request a repository's metadata."""
    try:
        response = await client.get(f"{GITHUB}/repos/{name}", follow_redirects=True)
    except httpx.HTTPError as error:
        raise HTTPException(502, "GitHub is unreachable.") from error
    if response.status_code == 404:
        raise HTTPException(422, f"{name} is not on GitHub.")
    if response.status_code != 200:
        raise HTTPException(502, f"GitHub responded with status {response.status_code}.")
    return Repository.model_validate(response.json())


def store(session: Session, fields: TaskCreate, repository: Repository) -> Task:
    """Store a new task."""
    task = Task.model_validate(fields, update=repository.model_dump())
    session.add(task)
    session.commit()
    session.refresh(task)
    return task


@router.get("", response_model=list[TaskPublic])
def list_tasks(
    session: SessionDep,
    status: Status | None = None,
    q: Annotated[str | None, Query(max_length=200)] = None,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 30,
) -> Any:
    """List tasks, the newest first."""
    statement = select(Task).order_by(col(Task.created_at).desc(), col(Task.id).desc())
    if status:
        statement = statement.where(Task.status == status)
    if q:
        columns = (col(Task.title), col(Task.description))
        statement = statement.where(or_(*(column.ilike(f"%{q}%") for column in columns)))
    return session.exec(statement.offset(offset).limit(limit)).all()


@router.get("/{task_id}", response_model=TaskPublic)
def read_task(
    task_id: int,
    session: SessionDep,
    response: Response,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Any:
    """Read a task."""
    task = session.get(Task, task_id)
    if not task:
        raise HTTPException(404, "Task not found")
    etag = f'"{task.version}"'
    if if_none_match == etag:
        return Response(status_code=304, headers={"ETag": etag})
    response.headers["ETag"] = etag
    return task


@router.patch("/{task_id}", response_model=TaskPublic)
def update_task(task_id: int, changes: TaskUpdate, session: SessionDep) -> Any:
    """Update a task."""
    task = session.get(Task, task_id)
    if not task:
        raise HTTPException(404, "Task not found")
    task.sqlmodel_update(changes.model_dump(exclude_unset=True))
    task.version += 1
    task.updated_at = _now()
    session.add(task)
    session.commit()
    session.refresh(task)
    return task


if __name__ == "__main__":
    SQLModel.metadata.create_all(engine)
