"""Spectral's and Redocly's recommended rules find nothing in the OpenAPI document.

`npm ci --prefix .ci/openapi` installs both; its files of rules say which rule is off, and why.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from helpers import ROOT

FOLDER = ROOT / ".ci" / "openapi"
PROGRAMS = FOLDER / "node_modules" / ".bin"
LINTERS = {
    "spectral": ["lint", f"--ruleset={FOLDER / 'spectral.yaml'}", "--fail-severity=hint"],
    "redocly": ["lint", f"--config={FOLDER / 'redocly.yaml'}", "--format=json"],
}


@pytest.mark.slow
@pytest.mark.parametrize("token", [None, "a-token"])
@pytest.mark.parametrize("linter", LINTERS)
def test_a_linter_finds_nothing_in_the_document(
    client_with: Callable[..., FlaskClient], tmp_path: Path, linter: str, token: str | None
) -> None:
    if shutil.which("node") is None or not (PROGRAMS / linter).exists():
        pytest.skip(f"{linter} or Node.js is not installed: npm ci --prefix .ci/openapi")
    document = tmp_path / "openapi.json"
    client = client_with(api_token=token)
    document.write_text(client.get("/openapi.json", base_url="http://127.0.0.1:8000").text)
    done = subprocess.run(
        [PROGRAMS / linter, *LINTERS[linter], document],
        env={**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if linter == "redocly":
        assert json.loads(done.stdout)["problems"] == []
    else:
        assert "No results with a severity of 'hint' or higher found!" in done.stdout
