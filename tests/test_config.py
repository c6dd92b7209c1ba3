"""Settings: their defaults, their valid values, and the message for an invalid one."""

import re
from pathlib import Path

import pytest

from tracker.config import INSTANCE, ROOT, Settings, SettingsError, is_loopback, load_settings


def test_an_empty_environment_means_the_defaults() -> None:
    settings = load_settings({})
    assert settings == Settings()
    assert settings.embedded_folder == INSTANCE / "postgres"
    assert settings.address == "http://127.0.0.1:8000"


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load_settings({"GITHUB_TOKEN": "", "PORT": " "}) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("DATABASE_URL", "postgresql://me:pw@host:5433/tasks", None),
        ("DATABASE_URL", "postgres://host/tasks?sslmode=require", None),
        ("DATABASE_URL", "postgresql://me:p%40%2Fw@a:1,b:2/tasks", None),
        ("DATABASE_URL", "host=/run/postgresql dbname=tasks", None),
        ("DATABASE_REPLICA_URL", "postgresql://me:pw@standby1,standby2/tasks", None),
        ("GITHUB_API_BASE", "https://ghe.example.com/api/v3/", "https://ghe.example.com/api/v3"),
        ("GITHUB_TOKEN", " ghp_abc ", "ghp_abc"),
        ("GITHUB_TIMEOUT", "0.1", 0.1),
        ("GITHUB_TIMEOUT", "300", 300.0),
        ("GITHUB_CACHE", "memory", None),
        ("GITHUB_CACHE", "MEMORY", "memory"),
        ("GITHUB_CACHE", "redis://localhost:6379/1", None),
        ("GITHUB_CACHE", "cache/here.sqlite", str(ROOT / "cache/here.sqlite")),
        ("GITHUB_CACHE", "/var/cache/it", None),
        ("GITHUB_CACHE_TTL", "1", 1),
        ("GITHUB_CACHE_TTL", "604800", 604_800),
        ("HOST", "0.0.0.0", None),
        ("HOST", "::1", None),
        ("PORT", "1", 1),
        ("PORT", "65535", 65_535),
        ("WEB_CONCURRENCY", "64", 64),
        ("DATABASE_POOL_SIZE", "100", 100),
        ("DATABASE_PREPARED_STATEMENTS", "OFF", "off"),
        ("API_TOKEN", "correct-horse", None),
        ("API_TOKEN", "old, new", "old,new"),
        ("TRUSTED_HOSTS", "A.example, .b.example", ("a.example", ".b.example")),
        ("TRUSTED_HOSTS", "tracker_web, .b_c.example", ("tracker_web", ".b_c.example")),
        ("TRUSTED_HOSTS", "[2001:db8::7]", ("2001:db8::7",)),
        ("LOG_LEVEL", "DEBUG", "debug"),
        ("LOG_FORMAT", "json", None),
    ],
)
def test_a_valid_value_is_accepted(name: str, text: str, value: object) -> None:
    expected = text if value is None else value
    assert getattr(load_settings({name: text}), name.lower()) == expected


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("DATABASE_URL", "mysql://me:hunter2@host/tasks"),
        ("DATABASE_URL", "postgresql://me:hunter2@host"),
        ("DATABASE_URL", "hunter2"),
        *(
            ("DATABASE_URL", f"postgresql://me:{password}@host/tasks")
            for password in ("a@hunter2", "hunter2/a", "12/hunter2", "100%hunter2")
        ),
        ("DATABASE_URL", "postgresql://127.0.0.1:99999/tasks"),
        ("DATABASE_URL", "embedded:"),
        ("DATABASE_REPLICA_URL", "embedded:zz"),
        ("GITHUB_API_BASE", "api.github.com"),
        ("GITHUB_API_BASE", "https://h h"),
        ("GITHUB_API_BASE", "ftp://api.github.com"),
        ("GITHUB_API_BASE", "https://"),
        ("GITHUB_API_BASE", "https://[bad"),
        ("GITHUB_API_BASE", "https://host:99999"),
        ("GITHUB_API_BASE", "https://me:hunter2@host"),
        ("GITHUB_API_BASE", "https://host?x=1"),
        ("GITHUB_TOKEN", "hunter2 hunter2"),
        ("GITHUB_TOKEN", "hunter2\nX-Evil: 1"),
        ("GITHUB_TIMEOUT", "0"),
        ("GITHUB_TIMEOUT", "0.09"),
        ("GITHUB_TIMEOUT", "300.1"),
        ("GITHUB_TIMEOUT", "nan"),
        ("GITHUB_CACHE", "memcached://host"),
        ("GITHUB_CACHE", "redis://"),
        ("GITHUB_CACHE", "redis://:hunter2@h:x"),
        ("GITHUB_CACHE_TTL", "0"),
        ("GITHUB_CACHE_TTL", "604801"),
        ("GITHUB_CACHE_TTL", "1e3"),
        ("HOST", "bad host"),
        ("HOST", "127.0.0.1:80"),
        ("HOST", "localhost:80"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "٨٠٠٠"),
        ("WEB_CONCURRENCY", "0"),
        ("WEB_CONCURRENCY", "65"),
        ("DATABASE_POOL_SIZE", "0"),
        ("DATABASE_POOL_SIZE", "101"),
        ("DATABASE_PREPARED_STATEMENTS", "maybe"),
        *(
            ("TRUSTED_HOSTS", text)
            for text in ("a b", "http://a.example", "a.example:80", ",", "*", ".", "..")
        ),
        *(
            ("API_TOKEN", text)
            for text in ("hunter2 hunter2", "hunter2,,x", "hunter2,", ",hunter2", ",")
        ),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_an_invalid_value_is_one_line_without_secrets(name: str, text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings({name: text})
    message = str(raised.value)
    assert message.startswith(f"{name} takes ")
    assert "\n" not in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("foo=1", "takes no parameter foo in its URL"),
        ("sslmode=require&foo=1&bar=2", "takes no parameter foo, bar in its URL"),
        ("sslmode=%zz", "takes no parameter without a sound value in its URL"),
        ("foo=1@host", "takes a PostgreSQL URL such as"),
    ],
)
def test_an_unknown_parameter_of_the_database_url_is_named(query: str, message: str) -> None:
    with pytest.raises(SettingsError, match=f"^DATABASE_URL {message}"):
        load_settings({"DATABASE_URL": f"postgresql://me:hunter2@host/tasks?{query}"})


def test_githubs_token_is_not_sent_unencrypted(tmp_path: Path) -> None:
    base, token = {"GITHUB_API_BASE": "http://github.example/api/v3"}, {"GITHUB_TOKEN": "hunter2"}
    file = tmp_path / "token"
    file.write_text("hunter2")
    for secret in (token, {"GITHUB_TOKEN_FILE": str(file)}):
        with pytest.raises(SettingsError) as raised:
            load_settings(base | secret)
        assert raised.value.report == (
            "error: GITHUB_API_BASE takes an https URL where GITHUB_TOKEN is set: "
            "http would send the token unencrypted"
        )
    assert load_settings(base).github_token is None
    for url in ("https://github.example", "http://127.0.0.1:9", "http://LOCALHOST", "http://[::1]"):
        assert load_settings({"GITHUB_API_BASE": url, **token}).github_token == "hunter2"


def test_no_secret_is_in_the_settings_repr() -> None:
    secrets = {"DATABASE_URL": "postgresql://me:hunter2@host/db", "GITHUB_TOKEN": "hunter2"}
    secrets["GITHUB_CACHE"] = "redis://:hunter2@host"
    assert "hunter2" not in repr(load_settings(secrets))


@pytest.mark.parametrize(
    ("host", "address", "loopback_only"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000", True),
        ("127.9.9.9", "http://127.9.9.9:8000", True),
        ("localhost", "http://localhost:8000", True),
        ("::1", "http://[::1]:8000", True),
        ("0.0.0.0", "http://127.0.0.1:8000", False),
        ("::", "http://[::1]:8000", False),
        ("192.0.2.7", "http://192.0.2.7:8000", False),
    ],
)
def test_the_host_decides_the_address_and_who_can_connect(
    host: str, address: str, loopback_only: bool
) -> None:
    settings = load_settings({"HOST": host})
    assert (settings.address, is_loopback(settings.host)) == (address, loopback_only)


def test_the_example_has_every_setting_with_a_valid_value() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert all(not line or line.startswith("#") for line in lines)
    examples = dict(re.findall(r"^# ([A-Z_]+)=(.+)$", "\n".join(lines), re.MULTILINE))
    assert examples.keys() == {name.upper() for name in Settings.__dataclass_fields__}
    load_settings(examples)


@pytest.mark.parametrize("document", ["README.md", "docs/configuration.md"])
def test_the_documents_name_every_setting(document: str) -> None:
    text = (ROOT / document).read_text()
    for name in Settings.__dataclass_fields__:
        assert re.search(rf"\b{name.upper()}\b", text), name
