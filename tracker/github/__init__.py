"""HTTP out: the cached client for the GitHub REST API.

A new field of a repository goes into `repository`; a new spelling of its name into `names`.
"""
