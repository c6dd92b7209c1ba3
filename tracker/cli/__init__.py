"""Command line: `verbs` are the daily ones, a client of the HTTP API; `admin` has the others.

A new verb goes into `MODULES` of `verbs`, a new command of the administration into `commands` of
`admin`; `COMMANDS` in tracker.py lists both.
"""
