"""The running service conforms to its OpenAPI document, for requests generated from it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import Service, served
from tracker.demo.github import GitHub

RUN = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"
PHASES = "examples,coverage,fuzzing,stateful"


# In the plain suite, the tests' client compares each response with the document.
@pytest.mark.slow
@pytest.mark.parametrize(("token", "examples"), [(None, 25), ("a-token", 15)])
def test_the_running_service_conforms_to_its_document(
    environment: dict[str, str],
    github: GitHub,
    tmp_path: Path,
    token: str | None,
    examples: int,
) -> None:
    environment |= {"WEB_CONCURRENCY": "1", "API_TOKEN": token or ""}
    with served(environment, tmp_path / "output") as service:
        report = run_schemathesis(service, token, examples)
        assert "Exception on" not in service.log
    assert re.search(r"Tested: 22\b", report), report
    assert re.search(r"\b(\d+) generated, \1 passed\b", report), report


def run_schemathesis(service: Service, token: str | None, examples: int) -> str:
    """Run all phases with all checks; return the report."""
    config = Path(__file__).with_name("schemathesis.toml")
    command = [sys.executable, "-W", "ignore", "-c", RUN, f"--config-file={config}", "run"]
    command += [f"http://127.0.0.1:{service.port}/openapi.json", f"--phases={PHASES}"]
    command += ["--checks=all", f"--max-examples={examples}", "--seed=1", "--no-color"]
    command += ["--generation-database=none", "--suppress-health-check=all"]
    command += [f"--header=Authorization: Bearer {token}"] if token else []
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, cwd=service.output.parent
    )
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    return done.stdout
