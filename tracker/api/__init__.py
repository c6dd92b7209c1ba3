"""HTTP in: one module of views per resource, and the schemas, parsing and errors they share.

A new resource gets its own module with a blueprint, registered in `tracker.create_app`.
"""
