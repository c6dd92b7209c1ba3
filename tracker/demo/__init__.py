"""The demonstration: the service beside a local stand-in for GitHub, and a few sample tasks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click

from tracker.api.schemas import TaskInputSchema
from tracker.config import EMBEDDED, INSTANCE, ROOT, load_settings
from tracker.database import migrations
from tracker.database.connection import borrowed, configure
from tracker.database.models import Task
from tracker.demo.github import DATA, FAULTS_OWNER
from tracker.github.client import GitHubClient
from tracker.postgres import server as embedded
from tracker.tasks import service as services

FOLDER = INSTANCE / "demo"
SAMPLES = Path(__file__).with_name("tasks.json")


def run() -> None:
    """Become the service, on data of its own and with the stand-in as its GitHub."""
    github, url = _start_github()
    # The environment wins over .env, and an empty variable counts as not set.
    os.environ |= {
        "DATABASE_URL": f"{EMBEDDED}{FOLDER / 'postgres'}",
        "GITHUB_API_BASE": url,
        "GITHUB_CACHE": "memory",
        "GITHUB_TOKEN": "",
    }
    _add_samples()
    names = [repository["full_name"] for repository in json.loads(DATA.read_text())["repositories"]]
    click.echo(f"This GitHub knows {', '.join(names)}.")
    examples = f"{FAULTS_OWNER}/503 or {FAULTS_OWNER}/silent"
    click.echo(f"It fails on request: try the repository {examples}.")
    sys.stdout.flush()
    os.chdir(ROOT)
    # The pipe stays open for as long as the service lives, and the stand-in ends with it.
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
    """Store the sample tasks, through GitHub, in a database that has none."""
    settings = load_settings()
    configure(settings)
    github = GitHubClient.from_settings(settings)
    with embedded.if_wanted(settings.embedded_folder):
        migrations.upgrade(settings)
        with borrowed():
            fresh = not Task.select().exists()
        for sample in json.loads(SAMPLES.read_text()) if fresh else []:
            services.create_task(TaskInputSchema().load(sample), github)
