"""The original design: FastAPI, SQLModel, and a new HTTP client for each call to GitHub."""

from typing import Any

import httpx
from fastapi import FastAPI

from benchmarks.peers.fastapi_tasks import (
    TIMEOUT,
    SessionDep,
    TaskCreate,
    TaskPublic,
    fetch_repository,
    router,
    store,
)

app = FastAPI()
app.include_router(router)


@app.post("/tasks", response_model=TaskPublic, status_code=201)
async def create_task(fields: TaskCreate, session: SessionDep) -> Any:
    """Create a task."""
    async with httpx.AsyncClient(timeout=TIMEOUT) as client:
        repository = await fetch_repository(client, fields.repository)
    return store(session, fields, repository)
