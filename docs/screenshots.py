"""Write screenshots of each view of the page to a folder, and two of them to the README.

Run it beside a fresh demo, with the packages of the tests:

    python3 tracker.py demo --reset
    .venv/bin/python docs/screenshots.py http://127.0.0.1:8000 FOLDER
"""

import os
import shutil
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import requests
from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).parent / "images"
SIZES = {1280: 800, 390: 844}  # height by width
TASKS: list[dict[str, Any]] = [
    {"title": "Replace the base image", "repository": "moby/moby", "due": -2, "tags": ["ops"]},
    {"title": "Answer the question about streaming", "repository": "django/django#12", "due": 4},
    {"title": "Try 3.2 on staging", "repository": "pallets/flask", "due": 1, "priority": "high"},
]


def main(address: str, folder: Path) -> None:
    """Add some tasks with dates near today, and take each view in each size and colour."""
    for task in TASKS:
        due = date.today() + timedelta(task.pop("due"))
        body = {**task, "due_date": due.isoformat()}
        requests.post(f"{address}/tasks", json=body, timeout=10).raise_for_status()
    program = shutil.which("chromium") or shutil.which("google-chrome")
    views = {"list": "/?sort=-updated_at", "task": "/web/tasks/1", "help": "/web/help"}
    views |= {"repositories": "/web/repositories", "repository": "/web/repositories/pallets/flask"}
    views |= {"changes": "/web/changes", "import": "/web/import", "nothing": "/?q=nothing"}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, chromium_sandbox=os.getuid() != 0
        )
        for scheme in ("light", "dark"):
            for width, height in SIZES.items():
                page = browser.new_page(
                    viewport={"width": width, "height": height}, color_scheme=scheme
                )
                for name, path in views.items():
                    page.goto(address + path)
                    page.screenshot(path=folder / f"{name}-{scheme}-{width}.png")
                page.close()
        browser.close()
    for scheme in ("light", "dark"):
        shutil.copy(folder / f"list-{scheme}-1280.png", IMAGES / f"page-{scheme}.png")


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"), Path(sys.argv[2]))
