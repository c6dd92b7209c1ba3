"""Command line: one module per group of commands, and `commands` of `admin`, the list of all.

A new command goes into the module of its group; a new group is added to `commands`, and to
`COMMANDS` in tracker.py.
"""
