"""The documents: their examples run, their links lead somewhere, and nothing is left out."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from configparser import RawConfigParser
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from click import Context
from flask.testing import FlaskClient

from helpers import PATIENCE, ROOT, Service, copy_project, started, wait_for
from tracker.api.refusals import reasons
from tracker.cli.verbs import MODULES, Verb, verbs
from tracker.config import Settings, SettingsError, load_settings

README = ROOT / "README.md"
API = ROOT / "docs" / "api.md"
CLI = ROOT / "docs" / "cli.md"
CONFIGURATION = ROOT / "docs" / "configuration.md"
DESIGN = ROOT / "docs" / "design.md"
UNIT = ROOT / "docs" / "examples" / "tracker.service"
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "benchmarks" / "README.md"]
README_LINES_MAX = 130

ADDRESS = "127.0.0.1:8000"  # in the documents; the demo of a test has another port
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n?", re.MULTILINE)
VOLATILE = {
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z": "TIME",
    r"X-Request-ID: [0-9a-f]{32}": "X-Request-ID: ID",
}


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Service]:
    """A fresh demo, from a copy of the project."""
    if shutil.which("curl") is None:
        pytest.skip("the examples need curl")
    project = copy_project(tmp_path / "project")
    command = [sys.executable, "-m", "flask", "demo"]
    with started(command, {"PATH": ""}, tmp_path / "output", project) as service:
        wait_for(service.answers)
        yield service


def test_the_tour_of_the_readme_works_as_one_script(demo: Service) -> None:
    script, expected = section(README, "A tour", "sh", "text")
    assert_output(run(script, demo), expected)


@pytest.mark.slow
def test_the_session_of_the_command_line_works_as_one_script(demo: Service) -> None:
    script, expected = section(CLI, "A session", "sh", "text")
    first, _, rest = script.partition("\n")
    assert first == 'tracker() { python3 tracker.py "$@"; }'
    found = run(f"exec 2>&1\n{definition(demo)}\n{rest}", demo)
    assert matches(found, expected), f"{expected}\n\nis not\n\n{found}"


@pytest.mark.slow
def test_every_example_of_a_verbs_help_works(demo: Service) -> None:
    home = demo.output.parent
    (home / "tasks.txt").write_text("pallets/flask One +tag due:fri\n")
    (home / "tasks.csv").write_text("title,repository\nOne,pallets/flask\n")
    last = ("rm", "undo")  # no later example has the tasks that these delete
    failures = []
    for name in (*(name for name in MODULES if name not in last), *last):
        command = verbs.get_command(Context(verbs), name)
        assert isinstance(command, Verb)
        for example in command.examples:
            words = f"tracker {example.format(program='tracker')}"
            script = f"cd {home}; {definition(demo)}\n{words} > said 2>&1 || cat said"
            if output := run(script, demo):
                failures.append(f"$ {words}\n{output}")
    assert failures == []


def definition(demo: Service) -> str:
    """Return a shell's function that runs the command line beside the demo."""
    variables = f"PORT={demo.port} TRACKER_CWD={demo.output.parent} EDITOR=true BROWSER=true"
    call = f"{variables} {sys.executable} -m tracker.cli 'python3 tracker.py' \"$@\""
    return f"tracker() {{ (cd {demo.output.parent / 'project'} && {call}); }}"


@pytest.mark.slow
def test_every_example_of_the_api_document_works(demo: Service) -> None:
    examples = blocks(API.read_text(), "console")
    assert examples
    for block in examples:
        _, *parts = COMMAND.split(block)
        for command, expected in zip(parts[::2], parts[1::2], strict=True):
            assert_output(run(command, demo), expected)


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    broken = []
    for document in DOCUMENTS:
        for link in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
            if "://" in link:
                continue
            path, _, anchor = link.partition("#")
            target = (document.parent / path).resolve() if path else document
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(f"{document.name}: {link}")
    assert broken == []


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= README_LINES_MAX


def test_the_api_document_has_every_endpoint_filter_and_status(client: FlaskClient) -> None:
    text = API.read_text()
    document: dict[str, Any] = client.get("/openapi.json").get_json()
    operations = {
        f"`{method.upper()} {path}`"
        for path, methods in document["paths"].items()
        for method in methods
        if method in {"get", "post", "put", "patch", "delete"}
    }
    references = [p["$ref"] for p in document["paths"]["/tasks"]["get"]["parameters"]]
    parameters = {f"`{reference.rpartition('/')[2]}`" for reference in references}
    statuses = {
        f"| {status} |"
        for methods in document["paths"].values()
        for operation in methods.values()
        if "responses" in operation
        for status in operation["responses"]
        if status >= "400"
    }
    needed = operations | parameters | statuses
    assert {name for name in needed if name not in text} == set()


def test_the_api_document_has_the_reason_of_every_error() -> None:
    cells = re.findall(r"^\| [45]\d\d \| (.*?) \|", API.read_text(), re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(cells))) == reasons()


def test_the_configuration_document_is_right_about_each_setting() -> None:
    defaults = {setting.name.upper(): setting.default for setting in fields(Settings)}
    entry = r"^### (\w+)\n.*?^- Default: (.*?)\.\n- Takes: (.*?)\n- Example: `(.*?)=(.*?)`$"
    entries = re.findall(entry, CONFIGURATION.read_text(), re.MULTILINE | re.DOTALL)
    assert sorted(name for name, *_ in entries) == sorted(defaults)
    for name, default, takes, example_name, example in entries:
        assert example_name == name
        load_settings({name: example})
        if isinstance(defaults[name], int | float):
            assert default == f"`{defaults[name]:g}`"
        if bounds := re.search(r"from ([\d.]+) to ([\d.]+\d)", takes):
            for bound in bounds.groups():
                load_settings({name: bound})
            for outside in ("0", str(int(bounds[2]) + 1)):
                with pytest.raises(SettingsError):
                    load_settings({name: outside})


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("checking the unit needs systemd-analyze")
    (tmp_path / "bin").mkdir()
    for program in ("flask", "gunicorn"):
        (tmp_path / "bin" / program).touch(0o755)
    text = UNIT.read_text().replace("/opt/tracker/.venv", str(tmp_path))
    (tmp_path / "tracker@.service").write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "tracker@8001.service")],
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_starts_and_stops_the_service(environment: dict[str, str], tmp_path: Path) -> None:
    parser = RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    unit = parser["Service"]
    assert unit["Type"] == "notify"
    command = unit["ExecStart"].replace(unit["WorkingDirectory"], "").split()
    assert command[0] == "/.venv/bin/gunicorn"
    variables = dict(pair.split("=") for pair in unit["Environment"].split())
    assert variables.pop("PORT") == "%i"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(address := str(tmp_path / "notify"))
        notified.settimeout(PATIENCE)
        with started(
            [sys.executable, "-m", "gunicorn", *command[1:]],
            {**environment, **variables, "NOTIFY_SOCKET": address},
            tmp_path / "output",
        ) as service:
            assert notified.recv(1000).startswith(b"READY=1")
            assert service.call("GET", "/health/ready").status_code == 200
            assert service.end(signal.SIGTERM) == 0


def test_the_tests_that_the_design_document_names_exist() -> None:
    existing = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    named = set(re.findall(r"`(test_\w+)`", DESIGN.read_text()))
    assert named
    assert named - existing == set()


def section(document: Path, title: str, *languages: str) -> list[str]:
    """Return the one code block of each language in a section."""
    _, _, rest = document.read_text().partition(f"\n## {title}\n")
    text = rest.partition("\n## ")[0]
    found = [blocks(text, language) for language in languages]
    assert [len(each) for each in found] == [1] * len(languages)
    return [each[0] for each in found]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run(script: str, demo: Service) -> str:
    """Run a script as it is pasted, and return what it prints."""
    port = f"127.0.0.1:{demo.port}"
    done = subprocess.run(
        ["sh"],
        input=script.replace(ADDRESS, port),
        env={"PATH": os.environ["PATH"], "HOME": str(demo.output.parent), "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.replace(port, ADDRESS)


def assert_output(found: str, expected: str) -> None:
    """Compare an output: `...` stands for anything, a header may be left out, JSON may wrap."""
    found_head, found_body = head_and_body(found)
    head, body = head_and_body(expected)
    for line in head:
        assert any(matches(each, line) for each in found_head), f"{line}\n\nis not in\n\n{found}"
    assert matches(found_body, body), f"{expected}\n\nis not\n\n{found}"


def head_and_body(output: str) -> tuple[list[str], str]:
    """Return the lines of a response's head, where `curl -i` printed one, and the rest."""
    if not output.startswith("HTTP/"):
        return [], output
    head, _, body = output.replace("\r\n", "\n").partition("\n\n")
    return head.splitlines(), body


def matches(found: str, expected: str) -> bool:
    pattern = ".*".join(map(re.escape, normalized(expected).split("...")))
    return re.fullmatch(pattern, normalized(found)) is not None


def normalized(text: str) -> str:
    for pattern, name in VOLATILE.items():
        text = re.sub(pattern, name, text)
    return "".join(text.split())


def anchors(document: Path) -> set[str]:
    """Return the anchors that GitHub gives a document's headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings}
