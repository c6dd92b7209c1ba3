"""PostgreSQL: models, connection pool, queries, migrations, and what its errors mean.

A new column goes into `models` and a new file in `migrations`.
"""
