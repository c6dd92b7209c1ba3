"""The page: its views, the forms that work without JavaScript, templates and static files.

A new view goes into a module with its resource's name, and its endpoint into `PAGES` there.
"""
