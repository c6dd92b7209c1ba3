"""The file `.env`: literal values, and a refusal of each line that can't be parsed."""

import subprocess
import sys
from pathlib import Path

import pytest

from helpers import PATIENCE, copy_project
from tracker import config
from tracker.config import Settings, SettingsError, file_warnings, load_settings
from tracker.dotenv import read_dotenv


@pytest.fixture
def dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a `.env` in a project of its own."""
    monkeypatch.setattr(config, "ROOT", tmp_path)
    for name in Settings.__dataclass_fields__:
        monkeypatch.delenv(name.upper(), raising=False)
    return tmp_path / ".env"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("X=a", "a"),
        (" export X = a b ", "a b"),
        ("X=", ""),
        ("X= # a comment", ""),
        ("X=a # a comment", "a"),
        ("X=a#b", "a#b"),
        ("X=#a", "#a"),
        ("X=it's", "it's"),
        ("X=a=b", "a=b"),
        ("X='it is \"a\" # b' # c", 'it is "a" # b'),
        ('X="it\'s"#c', "it's"),
        *(
            (f"X={quote}${{HOME}} $HOME \\n{quote}", "${HOME} $HOME \\n")
            for quote in ("", "'", '"')
        ),
    ],
)
def test_a_value_is_literal(dotenv: Path, line: str, value: str) -> None:
    dotenv.write_text(f"\n# X=commented\n{line}\r\nY=y\n")
    found = read_dotenv(dotenv)
    assert found.values == {"X": value, "Y": "y"}
    assert found.problems == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('API_TOKEN="hunter2', "has a quote that is not closed"),
        ("API_TOKEN='hunter2\"", "has a quote that is not closed"),
        ('API_TOKEN="hunter2" hunter2', "has a quote that is not closed, or text behind"),
        ("API_TOKEN: hunter2", "has no `=`"),
        ("API_TOKEN", "has no `=`"),
        ("hunter2", "has no `=`"),
        ("\u0410PI_TOKEN=hunter2", "has a name with other characters"),
        ("\u00a0API_TOKEN=hunter2", "has a name with other characters"),
        ("=hunter2", "has a name with other characters"),
        ("PORT=", "sets the name of line 1 again"),
    ],
)
def test_a_line_that_cannot_be_parsed_is_named(dotenv: Path, line: str, reason: str) -> None:
    dotenv.write_text(f'PORT=1\n\n{line}\nLOG_LEVEL="debug"\n')
    with pytest.raises(SettingsError) as raised:
        load_settings()
    (problem,) = raised.value.problems
    assert problem.startswith(f".env, line 3 {reason}")
    assert "hunter2" not in problem


def test_a_token_of_unusual_blanks_is_not_no_token(dotenv: Path) -> None:
    dotenv.write_text("API_TOKEN=\u00a0\n")
    with pytest.raises(SettingsError, match="API_TOKEN takes"):
        load_settings()


def test_every_problem_is_named_at_once(dotenv: Path) -> None:
    dotenv.write_text("PORT=no\nAPI_TOKEN\nHOST=a b\nGITHUB_TOKN=hunter2\nFOREIGN=1\n")
    with pytest.raises(SettingsError) as raised:
        load_settings()
    starts = [problem.split()[:3] for problem in raised.value.problems]
    assert starts == [
        [".env,", "line", "2"],
        ["HOST", "takes", "a"],
        ["PORT", "takes", "a"],
        [".env,", "line", "4:"],
    ]
    assert raised.value.report.count("error: ") == 4
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "similar"),
    [
        ("GITHUB_TOKN", "GITHUB_TOKEN"),
        ("port", "PORT"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("PROT", "PORT"),
    ],
)
def test_a_misspelt_name_is_warned_of(dotenv: Path, name: str, similar: str) -> None:
    dotenv.write_text(f"PGPORT=1\nGITHUB_ACTOR=1\n{name}=hunter2\n")
    dotenv.chmod(0o600)
    assert load_settings() == Settings()
    assert file_warnings() == [f".env, line 3: {name} is not a setting; did you mean {similar}?"]


def test_a_name_that_only_gunicorn_reads_is_warned_of(
    dotenv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    dotenv.write_text("PORT=1\nFORWARDED_ALLOW_IPS=10.0.0.1\n")
    dotenv.chmod(0o600)
    name = "FORWARDED_ALLOW_IPS"
    assert file_warnings() == [f".env, line 2: gunicorn does not read {name} there; export it"]
    monkeypatch.setenv(name, "10.0.0.1")
    assert file_warnings() == []


def test_a_misspelt_api_token_does_not_mean_no_login(dotenv: Path) -> None:
    dotenv.write_text("API_TOKN=hunter2\n")
    with pytest.raises(SettingsError, match="line 1: API_TOKN is not a setting"):
        load_settings()
    dotenv.write_text("API_TOKN=old\nAPI_TOKEN=new\n")
    assert load_settings().api_token == "new"


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o604])
def test_a_file_that_others_can_read_is_warned_of(dotenv: Path, mode: int) -> None:
    assert file_warnings() == []
    dotenv.touch()
    dotenv.chmod(mode)
    exposed = [f"{dotenv} can be read by other accounts; run: chmod 600 {dotenv}"]
    assert file_warnings() == (exposed if mode != 0o600 else [])


def test_the_environment_wins_over_the_file(dotenv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings() == Settings()
    dotenv.write_text("PORT=1234\nGITHUB_TIMEOUT=5\n")
    monkeypatch.setenv("GITHUB_TIMEOUT", "7")
    settings = load_settings()
    assert (settings.port, settings.github_timeout) == (1234, 7.0)


def test_a_file_that_is_not_text_is_an_error(dotenv: Path) -> None:
    dotenv.write_bytes(b"PORT=1\r\n\nAPI_TOKEN=hunter2\xff\n")
    with pytest.raises(
        SettingsError, match=r"^\.env, line 3 is not UTF-8; save the file as UTF-8$"
    ):
        load_settings()


CODE = "from tracker.config import load_settings as load; s = load(); print(s.host, s.github_token)"


@pytest.mark.parametrize(
    ("project", "expected"), [("", "localhost ${HOME}\n"), ("below", "127.0.0.1 None\n")]
)
def test_flask_takes_the_same_settings(
    environment: dict[str, str], tmp_path: Path, project: str, expected: str
) -> None:
    folder = copy_project(tmp_path / "above" / project)
    (tmp_path / "above" / ".env").write_text("GITHUB_TOKEN='${HOME}'\nHOST=localhost\n")
    (folder / "wsgi.py").write_text(CODE)
    names = {"GITHUB_TOKEN", "HOST"}
    done = subprocess.run(
        [sys.executable, "-m", "flask", "none"],
        cwd=folder,
        env={name: value for name, value in environment.items() if name not in names},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stdout == expected, done.stderr
