"""What a rename needs: a repository's tasks under another name, found however many it has."""

from typing import Any


def up(migrator: Any, db: Any) -> None:
    db.execute_sql("DROP INDEX task_repository_id")
    db.execute_sql("CREATE INDEX task_repository_id ON tasks (repository_id, repository)")


def down(migrator: Any, db: Any) -> None:
    db.execute_sql("DROP INDEX task_repository_id")
    db.execute_sql("CREATE INDEX task_repository_id ON tasks (repository_id)")
