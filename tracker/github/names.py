"""Repository names: find `owner/name` in any text that names a repository.

This module splits text only, and imports nothing but the standard library.
"""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

GITHUB = "github.com"
# Python, PostgreSQL and ECMA-262 (also its flags u and v) read both patterns the same way. Owners
# may end in a hyphen or repeat it, and managed users have an underscore:
# https://docs.github.com/en/enterprise-cloud@latest/admin/managing-iam/iam-configuration-reference/username-considerations-for-external-authentication
OWNER_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_\-]{0,38}"
NAME_PATTERN = r"(?!\.{1,2}$)[A-Za-z0-9._\-]{1,100}"
TEXT_MAX = 4096  # characters, without the white space around them
WRAPPINGS_MAX = 8  # layers of markup, quotes and brackets around a name
ISSUE_MAX = 2**31 - 1

_FULL_NAME = re.compile(f"{OWNER_PATTERN}/{NAME_PATTERN}")
_HOST = re.compile(r"[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8}")
_SCHEMES = {"http", "https", "ssh", "git", "git+http", "git+https", "git+ssh"}
_RAW_HOST = "raw.githubusercontent.com"  # https://raw.githubusercontent.com/owner/name/branch/file
# The first segments of the paths of GitHub's own pages. Nobody can register them as an account.
_PAGES = re.compile(
    "about|account|advisories|api|apps|auth|blog|changelog|codespaces|collections|contact|"
    "copilot|customer-stories|dashboard|discussions|enterprise|enterprises|events|explore|"
    "features|gist|gists|git-guides|help|home|inbox|issues|jobs|join|login|logout|"
    "marketplace|mobile|new|newsroom|nonprofit|nonprofits|notifications|oauth|open-source|"
    "organizations|orgs|partners|password_reset|premium-support|press|pricing|projects|pulls|"
    "raw|readme|repositories|resources|search|security|session|sessions|settings|signup|site|"
    "solutions|sponsors|stars|status|support|team|teams|terms|topic|topics|tos|trending|"
    "trust-center|user-attachments|users|watching|why-github|wiki",
    re.IGNORECASE,
)
# The third segments of the paths that name an issue or a pull request
_NUMBERED = {"web": ("issues", "pull"), "api": ("issues", "pulls"), "raw": ()}
_NUMBER = re.compile("[0-9]+")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# Soft hyphen, zero-width space and joiners, direction marks, word joiner, byte order mark
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"))
_OPENING = "([{<\"'`*\u2018\u201c\u00ab\u201e\u201a"
_CLOSING = ")]}>\"'`*\u2019\u201d\u00bb\u201c\u2018.,;:!?\u2026"
_LINKS = (
    # Markdown: [text](url "title"), also around an image
    re.compile(r"[^\]]*\](?:\([^)\s]*\)\])?\(([^)\s]+)(?:\s[^)]*)?\)[^A-Za-z0-9]*"),
    # reStructuredText: `text <url>`_
    re.compile(r"(?:[^<]*\s|\W?)<([^<>\s]+)>[^A-Za-z0-9]*"),
)
_COMMANDS = (["git", "clone"], ["gh", "repo", "clone"])
_OPTIONS_WITH_VALUE = re.compile(
    "-[bcjou]|--(?:branch|bundle-uri|config|depth|filter|jobs|origin|ref-format|reference|"
    "reference-if-able|revision|separate-git-dir|server-option|shallow-exclude|shallow-since|"
    "template|upload-pack|upstream-remote-name)"
)


@dataclass(frozen=True)
class RepositoryReference:
    """A repository as a text names it, and the issue or pull request that the text points to."""

    name: str  # owner/name, as written
    issue: int | None = None


class _NoRepository(ValueError):
    """The text names no repository; the message is the reason, or empty."""


def web_host(api_base: str) -> str:
    """Return the web host that belongs to a base URL of GitHub's REST API."""
    base = urlsplit(api_base)
    host = base.hostname or ""
    if base.path.rstrip("/") == "/api/v3":  # GitHub Enterprise Server
        return host
    if host.startswith("api.") and host.endswith(".ghe.com"):  # with data residency
        return host.removeprefix("api.")
    return GITHUB


def is_full_name(text: object) -> bool:
    """Return whether the text is an `owner/name` that GitHub could have."""
    return isinstance(text, str) and _FULL_NAME.fullmatch(text) is not None


def parse_repository(text: str, host: str = GITHUB) -> RepositoryReference:
    """Parse any usual way to name a repository on a GitHub web host.

    Raises:
        ValueError: The text names none. The message says why, and what is expected.
    """
    try:
        return _parse(_find_operand(_unwrap(text)), host.lower())
    except _NoRepository as error:
        expected = (
            "Must be owner/name or the URL of a GitHub repository, "
            f"such as pallets/flask or https://{host}/pallets/flask."
        )
        raise ValueError(f"{error} {expected}".lstrip()) from None


def _unwrap(text: str) -> str:
    """Return the text without invisible characters, punctuation around it, or a link's markup."""
    if _CONTROL.search(text):
        raise _NoRepository("Contains a control character.")
    text = text.translate(_INVISIBLE).strip()
    if len(text) > TEXT_MAX:
        raise _NoRepository(f"Exceeds the limit of {TEXT_MAX:,} characters.")
    for _ in range(WRAPPINGS_MAX):
        previous = text
        for link in _LINKS:
            if found := link.fullmatch(text):
                text = found[1]
        text = text.strip().lstrip(_OPENING).rstrip(_CLOSING)
        text = text.removesuffix("`__").removesuffix("`_")
        if text == previous:
            break
    return text


def _find_operand(text: str) -> str:
    """Return the repository that a `git clone` or `gh repo clone` names, or the text itself."""
    words = text.removeprefix("$ ").split()
    for command in _COMMANDS:
        if words[: len(command)] != command:
            continue
        operands = iter(words[len(command) :])
        for word in operands:
            if _OPTIONS_WITH_VALUE.fullmatch(word):
                next(operands, None)
            elif not word.startswith("-"):
                return _unwrap(word)
    return text


def _parse(text: str, host: str) -> RepositoryReference:
    """Parse a URL, an scp-like address, or a bare `owner/name`, each with nothing around it."""
    if re.search(r"[\s\\]", text):
        raise _NoRepository
    text = re.sub(r"\Ascm:git:", "", text, flags=re.IGNORECASE)  # Maven
    location, _, fragment = text.partition("#")
    location = location.partition("?")[0]
    if location[:7].lower() == "github:":  # npm
        return _parse_bare(location[7:], fragment, host)
    scheme, is_url, rest = location.partition("://")
    if not is_url:
        scheme, rest = "https", location
    authority, _, path = rest.partition("/")
    user, has_user, address = authority.rpartition("@")
    found, colon, port = address.partition(":")
    if not (is_url or has_user or colon or ("/" in path.strip("/") and _is_host(found, host))):
        return _parse_bare(location, fragment, host)
    kind = _classify(found.lower(), host)
    if scheme.lower() not in _SCHEMES or "@" in user:
        raise _NoRepository
    if colon and not (is_url and re.fullmatch("[0-9]*", port)):  # scp-like: host:owner/name
        path = f"{port}/{path}"
        if path.strip("/").count("/") != 1:
            raise _NoRepository
    return _parse_path(path, kind, host)


def _is_host(found: str, host: str) -> bool:
    return found.lower() == host or _HOST.fullmatch(found.lower()) is not None


def _classify(found: str, host: str) -> str:
    """Return which service of the GitHub host an address belongs to: `web`, `raw`, or `api`."""
    if found in (host, f"www.{host}", f"ssh.{host}"):
        return "web"
    if found in (f"raw.{host}", f"codeload.{host}") or (host == GITHUB and found == _RAW_HOST):
        return "raw"
    if found == f"api.{host}":
        return "api"
    if found == f"gist.{host}":
        raise _NoRepository("A gist is not a repository.")
    if _is_host(found, host):
        raise _NoRepository(f"The URL is on {found}, but this tracker uses {host}.")
    raise _NoRepository


def _parse_path(path: str, kind: str, host: str) -> RepositoryReference:
    """Parse the path of a URL, which may point deeper into the repository."""
    segments = path.strip("/").split("/")
    if any(segment.lower().replace("%2e", ".") in (".", "..") for segment in segments):
        raise _NoRepository
    if kind == "web" and host != GITHUB:  # an Enterprise Server has one host for all services
        if segments[:2] == ["api", "v3"]:
            kind, segments = "api", segments[2:]
        elif segments[0] in ("raw", "codeload"):
            kind, segments = "raw", segments[1:]
    if kind == "api":
        if segments[:1] != ["repos"]:
            raise _NoRepository
        segments = segments[1:]
    if len(segments) < 2:
        raise _NoRepository
    number = ""
    if len(segments) > 3 and segments[2] in _NUMBERED[kind]:
        number = segments[3].removesuffix(".diff").removesuffix(".patch")
    return _build(segments[0], segments[1], number, host)


def _parse_bare(location: str, fragment: str, host: str) -> RepositoryReference:
    """Parse `owner/name`, perhaps with `#12`, `#ref` or `@ref`, or `owner/name/issues/12`."""
    segments = location.partition("@")[0].rstrip("/").split("/")
    if len(segments) == 4 and segments[2] in _NUMBERED["web"] and _NUMBER.fullmatch(segments[3]):
        fragment = segments[3]
    elif len(segments) != 2:
        raise _NoRepository
    return _build(segments[0], segments[1], fragment, host)


def _build(owner: str, name: str, number: str, host: str) -> RepositoryReference:
    """Check the owner and the name, and the number where it is one."""
    if _PAGES.fullmatch(owner):
        raise _NoRepository(f"{host}/{owner} is a page of GitHub itself, not an owner.")
    name = name.partition("@")[0]
    if name.lower().endswith(".git"):
        name = name[:-4]
    if name.endswith(".wiki"):  # GitHub allows Name.Wiki
        raise _NoRepository("A wiki is not a repository.")
    # A name can't end in .git. A full stop at its end can't be told from the end of a sentence.
    if not is_full_name(f"{owner}/{name}") or name.lower().endswith((".git", ".")):
        raise _NoRepository
    if not _NUMBER.fullmatch(number):
        return RepositoryReference(f"{owner}/{name}")
    if not 1 <= int(number) <= ISSUE_MAX:
        raise _NoRepository(f"The number of an issue must be from 1 to {ISSUE_MAX}.")
    return RepositoryReference(f"{owner}/{name}", int(number))
