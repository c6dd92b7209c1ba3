"""The WSGI application: `gunicorn wsgi:app`, and what `flask` finds by itself."""

import sys

import click

from tracker import create_app, master
from tracker.config import ROOT, SettingsError

context = click.get_current_context(silent=True)
if context and context.info_name == "run":
    sys.exit("error: `flask run` starts no database; run: python3 tracker.py")
if "gunicorn.arbiter" in sys.modules and master.settings is None:
    print(
        "error: gunicorn did not load our gunicorn.conf.py; run it without --chdir, --config "
        f"and --pythonpath, like this: cd {ROOT} && gunicorn wsgi:app",
        file=sys.stderr,
    )
    sys.exit(4)  # gunicorn's APP_LOAD_ERROR: it stops, instead of starting another worker
try:
    app = create_app(master.settings)
except SettingsError as error:
    sys.exit(error.report)
