"""Fetch metadata from GitHub, through Django's cache."""

from typing import Any

import requests
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from rest_framework.exceptions import APIException, ValidationError

session = requests.Session()


class GitHubFailed(APIException):
    """GitHub did not respond, or with an error."""

    status_code = 502
    default_detail = "GitHub is unreachable."


def repository(name: str) -> dict[str, Any]:
    """Return the metadata of a repository, under the names of the columns."""
    found: dict[str, Any] = cache.get_or_set(f"repository:{name.lower()}", lambda: _fetch(name))
    return found


def _fetch(name: str) -> dict[str, Any]:
    url = f"{settings.GITHUB_API_BASE}/repos/{name}"
    try:
        response = session.get(url, timeout=settings.GITHUB_TIMEOUT)
    except requests.RequestException as error:
        raise GitHubFailed from error
    if response.status_code == 404:
        raise ValidationError({"repository": [f"{name} is not on GitHub."]})
    if response.status_code != 200:
        raise GitHubFailed(f"GitHub responded with status {response.status_code}.")
    document = response.json()
    return {
        "repository": document["full_name"],
        "repository_id": document["id"],
        "repository_url": document["html_url"],
        "repository_description": document["description"],
        "stars": document["stargazers_count"],
        "language": document["language"],
        "archived": document["archived"],
        "pushed_at": document["pushed_at"] and parse_datetime(document["pushed_at"]),
        "metadata_fetched_at": timezone.now(),
    }
