"""The original design, tuned: one client for all calls to GitHub, and a cache of its answers."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool

from benchmarks.peers.fastapi_tasks import (
    TIMEOUT,
    Repository,
    SessionDep,
    TaskCreate,
    TaskPublic,
    ask_github,
    router,
    store,
)

TTL = int(os.environ["GITHUB_CACHE_TTL"])  # seconds

_fresh: dict[str, tuple[float, Repository]] = {}  # until when, by name


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """Have one client for as long as the application runs."""
    async with httpx.AsyncClient(timeout=TIMEOUT) as client:
        yield {"client": client}


app = FastAPI(lifespan=lifespan)
app.include_router(router)


@app.post("/tasks", response_model=TaskPublic, status_code=201)
async def create_task(fields: TaskCreate, session: SessionDep, request: Request) -> Any:
    """Create a task."""
    repository = await _repository(request.state.client, fields.repository)
    # In a thread: here the commit would hold up all other requests of this process.
    return await run_in_threadpool(store, session, fields, repository)


async def _repository(client: httpx.AsyncClient, name: str) -> Repository:
    until, repository = _fresh.get(name.lower(), (0.0, None))
    if repository is None or time.monotonic() > until:
        repository = await ask_github(client, name)
        _fresh[name.lower()] = time.monotonic() + TTL, repository
    return repository
