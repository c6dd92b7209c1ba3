"""The original design, tuned: one HTTP client for all calls to GitHub, and a cache."""

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
    fetch_repository,
    router,
    store,
)

TTL = int(os.environ["GITHUB_CACHE_TTL"])  # seconds

_cache: dict[str, tuple[float, Repository]] = {}  # when it expires, and what, by name


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """Open one client for as long as the application runs."""
    async with httpx.AsyncClient(timeout=TIMEOUT) as client:
        yield {"client": client}


app = FastAPI(lifespan=lifespan)
app.include_router(router)


@app.post("/tasks", response_model=TaskPublic, status_code=201)
async def create_task(fields: TaskCreate, session: SessionDep, request: Request) -> Any:
    """Create a task."""
    repository = await _repository(request.state.client, fields.repository)
    # On the event loop the commit would block all other requests of this process.
    return await run_in_threadpool(store, session, fields, repository)


async def _repository(client: httpx.AsyncClient, name: str) -> Repository:
    expires, repository = _cache.get(name.lower(), (0.0, None))
    if repository is None or time.monotonic() > expires:
        repository = await fetch_repository(client, name)
        _cache[name.lower()] = time.monotonic() + TTL, repository
    return repository
