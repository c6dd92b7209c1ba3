"""The JSON documents of GitHub's REST API, as its documentation describes them."""

import json
from typing import Any

DOCS = "https://docs.github.com/rest"
GET_REPOSITORY = f"{DOCS}/repos/repos#get-a-repository"
RATE_LIMIT_DOCS = f"{DOCS}/using-the-rest-api/rate-limits-for-the-rest-api"
LICENSES = {
    "Apache-2.0": "Apache License 2.0",
    "BSD-3-Clause": 'BSD 3-Clause "New" or "Revised" License',
    "MIT": "MIT License",
    "NOASSERTION": "Other",
}


def error_body(status: int, message: str, documentation_url: str = DOCS) -> bytes:
    """Return the body of a response that reports an error."""
    return json.dumps(
        {"message": message, "documentation_url": documentation_url, "status": str(status)}
    ).encode()


def block_body(reason: str, created_at: str, html_url: str) -> bytes:
    """Return the body of a response for a repository that GitHub has blocked."""
    block = {"reason": reason, "created_at": created_at, "html_url": html_url}
    return json.dumps({"message": "Repository access blocked", "block": block}).encode()


def describe_repository(repository: dict[str, Any], api_url: str, web_url: str) -> dict[str, Any]:
    """Return a repository's document, made of a member of `repositories.json`."""
    full_name = repository["full_name"]
    owner, name = full_name.split("/")
    private = repository.get("private", repository.get("visibility", "public") != "public")
    visibility = repository.get("visibility", "private" if private else "public")
    stars = repository["stars"]
    defaults: dict[str, Any] = {
        "homepage": None,
        "topics": [],
        "fork": False,
        "archived": False,
        "disabled": False,
    }
    known = {member: value for member, value in repository.items() if member != "stars"}
    return {
        **defaults,
        **known,
        "name": name,
        "owner": {"login": owner, "html_url": f"{web_url}/{owner}"},
        "private": private,
        "visibility": visibility,
        "html_url": f"{web_url}/{full_name}",
        "url": f"{api_url}/repos/{full_name}",
        "license": describe_license(repository.get("license"), api_url),
        "stargazers_count": stars,
        "watchers_count": stars,
        "watchers": stars,
    }


def describe_license(spdx_id: str | None, api_url: str) -> dict[str, Any] | None:
    """Return the document of a license, or None where a repository has none."""
    if spdx_id is None:
        return None
    known = spdx_id != "NOASSERTION"  # GitHub found a license, but does not know it
    key = spdx_id.lower() if known else "other"
    return {
        "key": key,
        "name": LICENSES.get(spdx_id, spdx_id),
        "spdx_id": spdx_id,
        "url": f"{api_url}/licenses/{key}" if known else None,
    }


def describe_rate_limit(limit: int, remaining: int, reset: int) -> dict[str, Any]:
    """Return the document of `/rate_limit`; `reset` is in epoch seconds."""
    core = {
        "limit": limit,
        "used": max(limit - remaining, 0),
        "remaining": remaining,
        "reset": reset,
    }
    search = {"limit": 10, "used": 0, "remaining": 10, "reset": reset}
    return {"resources": {"core": core, "search": search}, "rate": core}
