"""The secrets of a service under test, and the search for them."""

import base64
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import requests

from helpers import Service

FLASK = "pallets/flask"
GITHUB_TOKEN = "ghp_s3cret/of+GitHub"
API_TOKEN = "s3cret&of-the-api"
PASSWORD = "s3cret#of-postgres"
SECRETS = (GITHUB_TOKEN, API_TOKEN, PASSWORD)


def leaks(texts: Iterable[str | bytes]) -> list[str]:
    """Return the secrets in the texts, as they are, and as URLs and headers encode them."""
    found = []
    for text in texts:
        raw = text.encode(errors="surrogateescape") if isinstance(text, str) else text
        for secret in SECRETS:
            forms = {secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()}
            found += [form for form in forms if form.encode() in raw]
    return found


def whole(response: requests.Response) -> str:
    """Return the status, the headers and the body of a response."""
    return f"{response.status_code} {response.reason} {dict(response.headers)} {response.text}"


class Caller:
    """A client with the API's token, which records all responses."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.responses: list[str] = []

    def __call__(
        self, method: str, path: str, token: str | None = f"Bearer {API_TOKEN}", **options: Any
    ) -> requests.Response:
        headers = {} if token is None else {"Authorization": token}
        response = self._service.call(method, path, headers=headers, **options)
        self.responses.append(whole(response))
        return response

    def create(self, repository: str, query: str = "") -> requests.Response:
        body = {"title": "t", "repository": repository}
        return self("POST", f"/tasks{query}", json=body)


def secretive(environment: dict[str, str]) -> dict[str, str]:
    return {
        **environment,
        "GITHUB_TOKEN": GITHUB_TOKEN,
        "API_TOKEN": API_TOKEN,
        "LOG_LEVEL": "debug",
        "GITHUB_TIMEOUT": "1",
        "GITHUB_CACHE_TTL": "1",
    }
