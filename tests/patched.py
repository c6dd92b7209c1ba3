"""Scripts that run in a process patched by gevent, as gunicorn's workers are."""

import json
import subprocess
import sys
from typing import Any

from helpers import PATIENCE, ROOT

PATCH = """
from gevent import monkey
monkey.patch_all()
import json, sys, time
import gevent, gevent.pool
values = json.loads(sys.argv[1])
"""


def run_patched(script: str, **values: Any) -> Any:
    """Run a script that reads `values`; return what it prints as JSON. A warning fails it."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PATCH + script, json.dumps(values)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
