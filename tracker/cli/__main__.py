"""The commands of `python3 tracker.py`: ours, without those of Flask.

The first argument is the command as it was typed; usage texts and remedies repeat it.
"""

import os
import signal
import sys

if __name__ == "__main__":
    on_interrupt = signal.getsignal(signal.SIGINT)
    if on_interrupt is signal.default_int_handler:  # its exception would be a traceback
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from .verbs import COMPLETE, MODULES, main

    if COMPLETE in os.environ or (sys.argv[2:] and sys.argv[2] in MODULES):
        signal.signal(signal.SIGINT, on_interrupt)
        main(sys.argv[1], sys.argv[2:])

    from flask.cli import FlaskGroup

    from wsgi import app

    signal.signal(signal.SIGINT, on_interrupt)
    group = FlaskGroup(
        create_app=lambda: app,
        add_default_commands=False,
        add_version_option=False,
        load_dotenv=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    group.main(sys.argv[2:], prog_name=sys.argv[1])
