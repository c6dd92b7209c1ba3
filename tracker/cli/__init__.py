"""Command line: one module per group of commands, and `commands`, the list of all.

A new command goes into the module of its group; a new group is added to `commands`, and to
`COMMANDS` in tracker.py.
"""

from .database import db
from .demo import demo
from .doctor import doctor

commands = [db, demo, doctor]
