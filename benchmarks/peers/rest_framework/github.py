"""GitHub's metadata, from Django's cache while it is fresh."""

from typing import Any

import requests
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework.exceptions import APIException, ValidationError

session = requests.Session()


class GitHubFailed(APIException):
    """GitHub can't answer."""

    status_code = 502
    default_detail = "GitHub can't be reached."


def repository(name: str) -> dict[str, Any]:
    """Give the metadata of a repository, under the columns' names."""
    found: dict[str, Any] = cache.get_or_set(f"repository:{name.lower()}", lambda: _ask(name))
    return found


def _ask(name: str) -> dict[str, Any]:
    url = f"{settings.GITHUB_API_BASE}/repos/{name}"
    try:
        response = session.get(url, timeout=settings.GITHUB_TIMEOUT)
    except requests.RequestException as error:
        raise GitHubFailed from error
    if response.status_code == 404:
        raise ValidationError({"repository": [f"{name} is not on GitHub."]})
    if response.status_code != 200:
        raise GitHubFailed(f"GitHub answered {response.status_code}.")
    answer = response.json()
    return {
        "repository": answer["full_name"],
        "repository_id": answer["id"],
        "repository_url": answer["html_url"],
        "repository_description": answer["description"],
        "stars": answer["stargazers_count"],
        "language": answer["language"],
        "archived": answer["archived"],
        "pushed_at": answer["pushed_at"] and parse_datetime(answer["pushed_at"]),
        "metadata_fetched_at": timezone.now(),
    }
