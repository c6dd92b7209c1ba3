"""Demo: the service with a local stand-in for GitHub and sample tasks.

A new sample task goes into `tasks.json`, a repository into `repositories.json`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import click

from ..api.schemas import TaskInputSchema
from ..config import EMBEDDED, INSTANCE, ROOT, load_settings
from ..database import migrations
from ..database.connection import configure, connection
from ..database.models import Task
from ..github.client import GitHubClient
from ..postgres import server as embedded
from ..tasks import service
from .github import DATA, FAULTS_OWNER

FOLDER = INSTANCE / "demo"
SAMPLES = Path(__file__).with_name("tasks.json")


def run(*, reset: bool) -> None:
    """Replace this process by the service, with its own database and the stand-in.

    Raises:
        EmbeddedPostgresError: the database can't be started, or with `reset` not be deleted.
    """
    if reset:
        embedded.delete(FOLDER / "postgres")
    github, url = _start_github()
    # The environment wins over .env, and an empty variable counts as not set.
    os.environ |= {
        "DATABASE_URL": f"{EMBEDDED}{FOLDER / 'postgres'}",
        "GITHUB_API_BASE": url,
        "GITHUB_CACHE": str(FOLDER / "cache.sqlite"),  # a rate limit is one for all workers
        "GITHUB_TOKEN": "",
        **dict.fromkeys(("DATABASE_URL_FILE", "GITHUB_TOKEN_FILE"), ""),
    }
    # gunicorn reads it before it loads our settings, and can't read an empty one.
    os.environ["WEB_CONCURRENCY"] = str(load_settings().web_concurrency)
    _add_samples()
    names = [repository["full_name"] for repository in json.loads(DATA.read_text())["repositories"]]
    click.echo(f"The stand-in for GitHub has {', '.join(names)}.")
    examples = f"{FAULTS_OWNER}/503 or {FAULTS_OWNER}/silent"
    click.echo(f"It also simulates failures: try the repository {examples}.")
    sys.stdout.flush()
    os.chdir(ROOT)
    # The stand-in exits when this pipe closes, so when the service ends.
    assert github.stdin
    os.set_inheritable(github.stdin.fileno(), True)
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", "wsgi:app"])


def _start_github() -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", "from tracker.demo.github import main; main()"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    return process, process.stdout.readline().strip()


def _add_samples() -> None:
    """Create the sample tasks in an empty database."""
    settings = load_settings()
    configure(settings)
    github = GitHubClient(settings)
    with embedded.running(settings.embedded_folder):
        migrations.upgrade(settings)
        with connection():
            empty = not Task.select().exists()
        for sample in json.loads(SAMPLES.read_text()) if empty else []:
            service.create_task(TaskInputSchema().load(sample), github)
