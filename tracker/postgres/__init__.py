"""The embedded PostgreSQL server: its binaries, account, files, roles and process.

Other packages use `server` only. What a new part of the server's life needs gets its own module.
"""
