"""Command line: one module per group of commands, listed in `commands`.

A new command goes into the module of its group and is registered in `tracker.create_app`.
"""
