"""Secrets from files, which API_TOKEN_FILE, DATABASE_URL_FILE and GITHUB_TOKEN_FILE name."""

import os
import signal
from pathlib import Path

import pytest

from helpers import Service, served, wait_for
from tracker import config
from tracker.config import Settings, SettingsError, file_warnings, load_settings

SECRETS = {
    "API_TOKEN": "old,new",
    "DATABASE_URL": "postgresql://me:hunter2@host/tasks",
    "GITHUB_TOKEN": "hunter2",
}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """The path of a file for a secret, which does not exist yet."""
    return tmp_path / "secret"


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_is_read_from_its_file(secret: Path, name: str, end: str) -> None:
    secret.write_bytes((SECRETS[name] + end).encode())
    settings = load_settings({f"{name}_FILE": str(secret), name: ""})
    assert getattr(settings, name.lower()) == SECRETS[name]


def test_only_one_line_break_is_taken_off(secret: Path) -> None:
    secret.write_text("hunter2\n\n")
    problem = problem_of({"GITHUB_TOKEN_FILE": str(secret)})
    assert problem == "GITHUB_TOKEN_FILE takes a token of visible ASCII characters"


def test_a_path_starts_at_the_project(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "ROOT", secret.parent)
    secret.write_text("hunter2")
    assert load_settings({"GITHUB_TOKEN_FILE": "secret"}).github_token == "hunter2"


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_that_is_set_twice_stops_the_start(secret: Path, name: str) -> None:
    secret.write_text(SECRETS[name])
    problem = problem_of({f"{name}_FILE": str(secret), name: SECRETS[name]})
    assert problem == f"{name} and {name}_FILE are both set; remove one of them"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "this one can't be read: No such file or directory"),
        (b"", "this one is empty"),
        (b"\n", "this one is empty"),
        (b"\xff", "this one is not UTF-8"),
    ],
)
def test_a_file_without_a_secret_stops_the_start(
    secret: Path, content: bytes | None, reason: str
) -> None:
    if content is not None:
        secret.write_bytes(content)
    problem = problem_of({"API_TOKEN_FILE": str(secret)})
    assert problem == f"API_TOKEN_FILE takes the path of a file; {reason}"


def test_a_secret_in_place_of_a_path_is_not_repeated() -> None:
    assert "hunter2" not in problem_of({"GITHUB_TOKEN_FILE": "hunter2"})


def problem_of(environ: dict[str, str]) -> str:
    with pytest.raises(SettingsError) as raised:
        load_settings(environ)
    (problem,) = raised.value.problems
    return problem


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o604])
def test_a_secret_that_others_can_read_is_warned_of(
    secret: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    monkeypatch.setattr(config, "ROOT", secret.parent)
    for name in Settings.__dataclass_fields__:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("API_TOKEN_FILE", str(secret))
    secret.write_text("hunter2")
    secret.chmod(mode)
    warning = f"{secret} can be read by other accounts; run: chmod 600 {secret}"
    assert file_warnings() == ([warning] if mode != 0o600 else [])


def test_a_file_of_another_account_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "ROOT", tmp_path)
    dotenv = tmp_path / ".env"
    dotenv.touch(0o600)
    reader = os.geteuid()
    if reader == 0:  # root's own files are safe for everyone
        os.chown(dotenv, 1, -1)
    else:
        reader += 1
        monkeypatch.setattr(os, "geteuid", lambda: reader)
    warning = f"{dotenv} belongs to another account; run: chown {reader} {dotenv}"
    assert file_warnings() == [warning]


def test_a_misspelt_name_of_the_tokens_file_stops_the_start(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "ROOT", secret.parent)
    monkeypatch.delenv("API_TOKEN", raising=False)
    (secret.parent / ".env").write_text(f"API_TOKENS_FILE={secret}\n")
    with pytest.raises(SettingsError, match="did you mean API_TOKEN_FILE"):
        load_settings()


def test_a_token_is_replaced_by_reloads_while_clients_use_it(
    environment: dict[str, str], secret: Path
) -> None:
    def accepts(service: Service, token: str) -> bool:
        headers = {"Authorization": f"Bearer {token}"}
        return service.call("GET", "/tasks", headers=headers).status_code == 200

    def reload(content: str) -> None:
        secret.write_text(content)
        service.process.send_signal(signal.SIGHUP)

    secret.write_text("old\n")
    secret.chmod(0o600)
    with served(
        {**environment, "API_TOKEN_FILE": str(secret), "WEB_CONCURRENCY": "1"},
        secret.parent / "output",
    ) as service:
        assert accepts(service, "old")
        assert not accepts(service, "new")
        reload("old,new\n")
        wait_for(lambda: accepts(service, "new"))
        reload("")
        wait_for(lambda: "Reload failed, the old settings stay: API_TOKEN_FILE" in service.log)
        assert accepts(service, "old")
        reload("new\n")
        wait_for(lambda: all(not accepts(service, "old") for _ in range(10)))
        assert accepts(service, "new")
        assert "can be read by other accounts" not in service.log
        secret.chmod(0o644)
        reload("new\n")
        wait_for(lambda: "can be read by other accounts" in service.log)
