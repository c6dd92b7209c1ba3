"""Domain: the use cases, without Flask. `service` calls GitHub first, then the database.

A new use case is a function in `service`; a rule that several use cases share gets a module.
"""
