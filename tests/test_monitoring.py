"""The examples for Prometheus and Grafana: promtool accepts them, and their metrics exist."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from helpers import ROOT
from scraped import samples
from tracker.demo.github import GitHub

EXAMPLES = ROOT / "docs" / "examples"
ALERTS = EXAMPLES / "alerts.yml"
DASHBOARD = EXAMPLES / "dashboard.json"
OPERATIONS = ROOT / "docs" / "operations.md"


def promtool(*words: str) -> None:
    """Run promtool, which must find no fault."""
    if shutil.which("promtool") is None:
        pytest.skip("checking the examples needs promtool")
    done = subprocess.run(["promtool", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_when_it_should(tmp_path: Path) -> None:
    promtool("check", "rules", "--lint-fatal", str(ALERTS))
    text = (ROOT / "tests" / "alerts_test.yml").read_text()
    assert set(re.findall(r"alertname: (\w+)", text)) == alerts()
    file = tmp_path / "alerts_test.yml"
    file.write_text(text.replace("alerts.yml", str(ALERTS)))
    promtool("test", "rules", str(file))


def test_prometheus_accepts_the_scrape_configuration(tmp_path: Path) -> None:
    shutil.copy(ALERTS, tmp_path)
    text = (EXAMPLES / "prometheus.yml").read_text()
    (tmp_path / "token").touch()
    file = tmp_path / "prometheus.yml"
    file.write_text(text.replace("/etc/prometheus/tracker-token", str(tmp_path / "token")))
    promtool("check", "config", "--lint-fatal", str(file))


def test_prometheus_accepts_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    expressions = [
        target["expr"].replace("$__rate_interval", "5m").replace("$instance", ".*")
        for panel in json.loads(DASHBOARD.read_text())["panels"]
        for target in panel["targets"]
    ]
    rules = [{"record": f"panel:{n}", "expr": each} for n, each in enumerate(expressions)]
    file = tmp_path / "rules.json"  # JSON is YAML
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    promtool("check", "rules", "--lint-fatal", str(file))


def test_the_rules_and_the_dashboard_name_metrics_that_exist(
    client: FlaskClient, github: GitHub
) -> None:
    github.remaining = 30
    client.post("/tasks", json={"title": "t", "repository": "pallets/flask"})
    exposed = {name for name, *_ in samples(client.get("/metrics").text)}
    for file in (ALERTS, DASHBOARD):
        named = set(re.findall(r"\btracker_\w+", file.read_text()))
        assert named
        assert named <= exposed, file
    documented = set(re.findall(r"`(tracker_\w+)`", OPERATIONS.read_text()))
    parts = r"_(bucket|sum|count)$"
    assert documented == {re.sub(parts, "", name) for name in exposed if "tracker_" in name}


def test_each_alert_is_documented() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", OPERATIONS.read_text(), re.MULTILINE)) >= alerts()


def alerts() -> set[str]:
    return set(re.findall(r"- alert: (\w+)", ALERTS.read_text()))
