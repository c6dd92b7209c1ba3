"""Embedded PostgreSQL: the server process, and the binaries it runs.

Nothing else in the package knows how that server is started or stopped.
"""
