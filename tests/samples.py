"""A task, and the metadata of its repository, as the database has them."""

from datetime import datetime, timezone

TASK = {"title": "Read the docs", "repository": "pallets/flask"}
METADATA = {
    "repository_id": 596892,
    "repository_url": "https://github.com/pallets/flask",
    "stars": 70000,
    "archived": False,
    "metadata_status": "current",
    "metadata_fetched_at": datetime(2030, 1, 1, tzinfo=timezone.utc),
}
