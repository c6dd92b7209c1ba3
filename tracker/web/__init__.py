"""The page: its views, the forms that work without JavaScript, templates and static files.

A new view goes into the module of its resource, which `views.py` imports.
"""
