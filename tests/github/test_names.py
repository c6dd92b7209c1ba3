"""Repository names: what people paste names the right repository, or is refused with a reason."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tracker.config import ROOT
from tracker.github.names import (
    ISSUE_MAX,
    NAME_PATTERN,
    OWNER_PATTERN,
    TEXT_MAX,
    is_full_name,
    parse_repository,
    web_host,
)

ENTERPRISE = "ghe.example.com"
HOSTS = ["github.com", ENTERPRISE, "octo.ghe.com"]
REAL = [
    tuple(line.split("\t"))
    for line in Path(__file__).with_name("real_names.tsv").read_text().splitlines()
    if not line.startswith("# ")
]
EXPECTED = "Must be owner/name or the URL of a GitHub repository, such as pallets/flask"
FLASK = [
    *["pallets/flask", "  pallets/flask\t\n", "pallets/flask/", "pallets/flask.git"],
    *["pallets/flask@v1.0", "pallets/flask@feature/x", "pallets/flask#main", "pallets/flask?tab=x"],
    *["pallets/flask#semver:^1.2", "github:pallets/flask", "GitHub:pallets/flask"],
    *["{host}/pallets/flask", "www.{host}/pallets/flask", "https://{host}/pallets/flask"],
    *["HTTPS://{HOST}/pallets/flask", "http://{host}//pallets/flask", "{host}:pallets/flask"],
    *["https://{host}:443/pallets/flask", "https://joe:secret@{host}/pallets/flask.git"],
    "https://{host}/pallets/flask.git/",
    "https://{host}/pallets/flask?tab=readme-ov-file#install?",
    "https://{host}/pallets/flask/blob/main/README.md?plain=1#L3",
    "https://{host}/pallets/flask/issues/new",
    "https://{host}/pallets/flask/discussions/5",
    "https://{host}/pallets/flask/tree/http://a/b",
    *["git://{host}/pallets/flask.git", "ssh://git@{host}/pallets/flask.git"],
    *["ssh://git@ssh.{host}:443/pallets/flask.git", "ssh://git@{host}:pallets/flask.git"],
    *["git+ssh://git@{host}/pallets/flask.git", "git@{host}/pallets/flask.git"],
    "git+https://{host}/pallets/flask.git@v1.0#egg=flask",
    *["git@{host}:pallets/flask.git", "git@{host}:/pallets/flask"],
    *["scm:git:git@{host}:pallets/flask.git", "scm:git:https://{host}/pallets/flask.git"],
    "https://raw.{host}/pallets/flask/issues/12/a",
    "https://codeload.{host}/pallets/flask/zip/refs/heads/main",
    "$ git clone https://{host}/pallets/flask.git && cd flask",
    "git clone --depth 1 -b a/b --filter=blob:none git@{host}:pallets/flask.git here",
    *["git clone 'https://{host}/pallets/flask'", "gh repo clone pallets/flask -- --depth=1"],
    *["gh repo clone -u up https://{host}/pallets/flask", "`git clone https://{host}/pallets/flask`"],
    *["'pallets/flask'", '"pallets/flask",', "“pallets/flask”", "«pallets/flask»"],
    *["**pallets/flask**", "[pallets/flask]", "(https://{host}/pallets/flask)."],
    *["<https://{host}/pallets/flask>", "`Flask <https://{host}/pallets/flask>`__"],
    "`pallets/flask`_",
    '[Flask](https://{host}/pallets/flask "the framework")',
    "[![CI](https://ci.example/b.svg)](https://{host}/pallets/flask/actions)",
    *["pallets/flask.", "https://{host}/pallets/flask, ", "https://{host}/pallets/flask;"],
    *["pallets/flask!", "https://{host}/pallets/flask/...", "\ufeffpallets/flask\u200b"],
    *["https://{host}/pal\u00adlets/\u200bflask", "\u00a0pallets/flask\u3000"],
]  # fmt: skip
ISSUE_12 = [
    "pallets/flask#12",
    "pallets/flask#12.",
    "pallets/flask/issues/12",
    "github:pallets/flask#12",
    "https://{host}/pallets/flask/issues/12",
    "https://{host}/pallets/flask/issues/12#issuecomment-99",
    "https://{host}/pallets/flask/pull/12/files?w=1",
    "https://{host}/pallets/flask/pull/12.patch",
    "(https://{host}/pallets/flask/pull/12)",
]
NOTHING = [
    *["", " ", "/", "flask", "/flask", "pallets/", "pallets//flask", "pallets flask", "@a/b"],
    *["pallets/flask/issues/x", "src/app/main.py", "pallets/flask\nx", "pallets/flask and more"],
    *["pallets/flask\0", "pallets/\x1b[31mflask", "pallets/flask\x85", "pallets/\u202eksalf"],
    *["pallets\\flask", "pallets/fl%61sk", "pallets/fläsk", "раllets/flask", "pallets／flask"],
    *["pallets/.", "pallets/..", "../flask", "pallets/.git", "pallets/flask.git.git", "１/２"],
    *["-a/b", "_a/b", "a.b/c", "o" * 40 + "/n", "o/" + "n" * 101, "a" * (TEXT_MAX + 1)],
    *["pallets/flask#0", f"pallets/flask#{ISSUE_MAX + 1}", "https://{host}/a/b/issues/0"],
    *["https://{host}", "https://{host}/", "https://{host}/pallets", "{host}/pallets"],
    *["https://{host}/pallets/../flask/x", "https://{host}/a/b/%2E%2e/c/d", "//{host}/a/b"],
    *["https://{host}/a/b.wiki.git", "a/b.wiki", "https://gist.{host}/octocat/a1b2c3"],
    *["https://{host}/ORGS/nodejs/repositories", "topics/python", "https://{host}/settings/tokens"],
    *["https://evil.com/{host}/a/b", "https://evil.com/?{host}/a/b", "https://evil.com#{host}/a/b"],
    *["https://{host}@evil.com/a/b", "https://{host}:443@evil.com/a/b", "a.example/b/c"],
    *["https://{host}.evil.com/a/b", "https://evil.com\\@{host}/a/b", "https://a@b@{host}/a/b"],
    *["https://evil{host}/a/b", "https://gitlab.com/a/b", "git@gitlab.com:a/b.git"],
    "https://docs.{host}/a/b",
    *["ftp://{host}/a/b", "file:///{host}/a/b", "javascript:{host}/a/b", "https:{host}/a/b"],
    *["git@{host}:22/a/b", "git clone", "git clone --depth 1", "gh repo clone", "[a](b)"],
    *["https://{host}/a/b./issues", "<a/b> <c/d>", "https://", "://", "github:", "scm:git:"],
]  # fmt: skip
PAGES = (
    "about account apps codespaces collections contact customer-stories dashboard discussions "
    "enterprise events explore features gist issues join login logout marketplace new nonprofit "
    "notifications organizations orgs pricing pulls readme search security sessions settings site "
    "sponsors stars team topics trending user-attachments users watching"
)
GITHUB_ONLY = [
    ("pallets/flask", "https://api.github.com/repos/pallets/flask/contents/README.md"),
    ("pallets/flask#12", "https://api.github.com/repos/pallets/flask/pulls/12/files"),
    ("pallets/flask", "https://raw.githubusercontent.com/pallets/flask/refs/heads/main/a"),
    ("-", "https://api.github.com/repositories/596892"),
    ("-", "https://api.github.com/users/pallets/repos"),
    ("-", "https://github.com/api/v3/repos/pallets/flask"),
    ("-", "https://avatars.githubusercontent.com/u/16748505"),
]
ENTERPRISE_ONLY = [
    ("pallets/flask", f"https://{ENTERPRISE}/api/v3/repos/pallets/flask"),
    ("pallets/flask#12", f"https://{ENTERPRISE}/api/v3/repos/pallets/flask/issues/12/comments"),
    ("pallets/flask", f"https://{ENTERPRISE}/raw/pallets/flask/main/a"),
    ("-", f"https://{ENTERPRISE}/api/v3/users/pallets"),
]
TABLE = [
    (host, names, text.replace("{host}", host).replace("{HOST}", host.upper()))
    for host in HOSTS
    for names, texts in {"pallets/flask": FLASK, "pallets/flask#12": ISSUE_12, "-": NOTHING}.items()
    for text in texts
]
TABLE += [("github.com", *row) for row in GITHUB_ONLY + REAL]
TABLE += [(ENTERPRISE, *row) for row in ENTERPRISE_ONLY]
TABLE += [
    (ENTERPRISE, n, t.replace("github.com", ENTERPRISE)) for n, t in REAL if "//raw." not in t
]


def refusal(text: str, host: str = "github.com") -> str:
    with pytest.raises(ValueError, match=f"{EXPECTED} or https://{host}/pallets/flask.") as refused:
        parse_repository(text, host)
    return str(refused.value)


def named(text: str, host: str = "github.com") -> str:
    try:
        found = parse_repository(text, host)
    except ValueError:
        return refusal(text, host) and "-"
    return found.name if found.issue is None else f"{found.name}#{found.issue}"


@pytest.mark.parametrize(("host", "names", "text"), TABLE)
def test_a_text_names_a_repository_or_is_refused(host: str, names: str, text: str) -> None:
    assert named(text, host) == names


@pytest.mark.parametrize("page", PAGES.split())
@pytest.mark.parametrize("text", ["https://{}/{}/octocat", "{}/{}/octocat", "https://{}/{}"])
def test_a_page_of_github_is_no_repository(page: str, text: str) -> None:
    for host in HOSTS:
        assert named(text.format(host, page), host) == "-"
    assert "is a page of GitHub" in refusal(f"{page.title()}/octocat")


@pytest.mark.parametrize("text", [t for _, t in REAL if re.search(r"github\.com/(?!urllib3)", t)])
def test_a_github_com_url_is_refused_on_an_enterprise_host(text: str) -> None:
    reason = refusal(text, ENTERPRISE)
    assert re.match(rf"The URL is on \S*github\S*com, but this tracker uses {ENTERPRISE}\.", reason)


@pytest.mark.parametrize(
    "name",
    ["Qix-/color-convert", "d--j/go-milter", "octo_corp/x", "0/0", "a/...b", "a/_", "a/-", "a/b.c",
     "o" * 39 + "/" + "n" * 100, "Quaver/Quaver.Wiki", "a/.github", "github/codeql"],
)  # fmt: skip
@pytest.mark.parametrize("host", [*HOSTS, "github"])
def test_a_name_may_be_all_that_github_allows(name: str, host: str) -> None:
    assert is_full_name(name)
    assert named(name, host) == named(f"https://{host}/{name}.git", host) == name
    assert named(f"{host}/{name}", host) == name


@pytest.mark.parametrize("name", [None, 7, "", "a", "a/b/c", "a/b\n", "a/..", "a b/c", "-a/b"])
def test_a_full_name_is_checked(name: object) -> None:
    assert not is_full_name(name)


@pytest.mark.parametrize(
    ("api_base", "host"),
    [
        ("https://api.github.com", "github.com"),
        ("https://api.github.com/", "github.com"),
        ("https://GHE.example.com/api/v3", "ghe.example.com"),
        ("https://ghe.example.com:8443/api/v3/", "ghe.example.com"),
        ("https://api.octo.ghe.com", "octo.ghe.com"),
        ("http://127.0.0.1:4321", "github.com"),
        ("https://proxy.example.com/github", "github.com"),
    ],
)
def test_a_base_url_stands_for_a_web_host(api_base: str, host: str) -> None:
    assert web_host(api_base) == host


NAMES = st.from_regex(f"{OWNER_PATTERN}/{NAME_PATTERN}", fullmatch=True)
PIECES = [
    *["https://", "github.com", "/", "/", "a", "b", "@", ":", "#", "?", ".", "..", ".git", "12"],
    *["](", "[", "<", ">", " ", "`", "\u200b", "issues", "%2e", "git@", "git clone "],
]
TEXTS = st.one_of(
    st.text(), st.lists(st.sampled_from(PIECES)).map("".join), NAMES.map("x <{}>".format)
)


@given(TEXTS, st.sampled_from(HOSTS))
def test_an_accepted_name_is_one_that_its_url_gives_again(text: str, host: str) -> None:
    name = named(text, host).partition("#")[0]
    assume(name != "-")
    assert is_full_name(name)
    assert named(f"https://{host}/{name}", host) == name


@given(NAMES)
def test_each_name_of_github_is_accepted_or_reserved(name: str) -> None:
    reserved = re.search(r"(?i)\.git$|\.$", name) or name.endswith(".wiki")
    assert reserved or named(name) == name or "is a page" in refusal(name)


HOSTILE = ["a-", "* ", "`_", "(", ")", "[", "](", "<", "> ", "@", "git@", " ", "\u200b", "."]


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_text_takes_a_few_milliseconds(piece: str) -> None:
    for length in (TEXT_MAX, 250_000):
        started = time.process_time()
        refusal(f"https://{piece * (length // len(piece))}")
        refusal(f"[a]({piece * (length // len(piece))}"[: length - 1])
        assert time.process_time() - started < 0.1


def test_parsing_imports_no_http_stack() -> None:
    code = (
        "import runpy, sys; names = runpy.run_path('tracker/github/names.py'); "
        "print('requests' in sys.modules, 'http' in sys.modules, names['GITHUB'])"
    )
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert loaded.stdout == "False False github.com\n"
