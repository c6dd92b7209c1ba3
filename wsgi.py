"""The WSGI application: `gunicorn wsgi:app`, and what `flask` finds by itself."""

import sys

from tracker import create_app
from tracker.config import SettingsError

try:
    app = create_app()
except SettingsError as error:
    sys.exit(error.report)
