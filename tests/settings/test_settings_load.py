"""Settings: where values come from, and what is said about the ones that can't be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.settings import Problem, Settings, SettingsError, load
from gateway.settings.choices import Durability, StreamUsage


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str, name: str = "weighbridge.toml") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(text: str) -> dict[str, Problem]:
    with pytest.raises(SettingsError) as caught:
        load(write(text, "given.toml"))
    return {problem.key: problem for problem in caught.value.problems}


def test_defaults_need_no_file() -> None:
    settings = load()
    assert settings.server.host == "127.0.0.1"
    assert settings.server.port == 8707
    assert settings.storage.durability is Durability.GROUP
    assert settings.storage.url is None
    assert settings == Settings()


def test_file_then_environment_then_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    write('[server]\nhost = "0.0.0.0"\nport = 1\nworkers = 2\n[providers.openai]\nbase_url = "http://a:1/"\n')
    monkeypatch.setenv("WEIGHBRIDGE_SERVER__PORT", "2")
    monkeypatch.setenv("WEIGHBRIDGE_SERVER__WORKERS", "3")
    monkeypatch.setenv("WEIGHBRIDGE_PROVIDERS__OPENAI__API_KEY_ENV", "MY_KEY")
    settings = load(changes={"server": {"workers": 4}})
    assert (settings.server.host, settings.server.port, settings.server.workers) == ("0.0.0.0", 2, 4)
    assert settings.providers["openai"].base_url == "http://a:1"
    assert settings.providers["openai"].api_key_env == "MY_KEY"


def test_a_named_file_wins_over_the_one_in_the_folder() -> None:
    write("[server]\nport = 1\n")
    assert load(write("[server]\nport = 2\n", "other.toml")).server.port == 2


def test_sizes_take_units_and_durations_fractions() -> None:
    settings = load(
        write('[limits]\nhold_body_bytes = "2 MiB"\ntap_bytes = 4096\n[timeouts]\nconnect = 0.25\n')
    )
    assert settings.limits.hold_body_bytes == 2 * 1024 * 1024
    assert settings.limits.tap_bytes == 4096
    assert settings.timeouts.connect == 0.25


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().server.port = 1


@pytest.mark.parametrize(
    ("text", "key", "what", "how"),
    [
        ("[server]\nprot = 1", "server.prot", "is not a known key", "Did you mean port?"),
        (
            "[storage]\nretention_days = 9",
            "storage.retention_days",
            "is now retention.calls_days",
            "Write calls_days below [retention]",
        ),
        ("port = 1", "port", "stands in no section", "Write it below [server]"),
        ("[proxy]\nworkers = 2", "proxy.workers", "is not a key of [proxy]", "below [server]"),
        ('[providers.a]\nurl = "http://x"', "providers.a.url", "is not a known key", "Keys of [providers.a]"),
        ("[servr]\nport = 1", "servr", "is not a known table", "Did you mean server?"),
        ('[server]\nport = "x"', "server.port", "'x' is not a whole number", "without quotes"),
        ("[server]\nport = 70000", "server.port", "70000 is out of range: it must be at most 65535", "8707"),
        ("[server]\nhost = 3", "server.host", "3 is not text", "quotes"),
        ('[server]\nuvloop = "perhaps"', "server.uvloop", "neither true nor false", "true or false"),
        ("server = 3", "server", "3 is not a table", "[server]"),
        (
            '[storage]\ndurability = "osx"',
            "storage.durability",
            "'osx' is not a known choice",
            "os, group or strict",
        ),
        ("[timeouts]\nidle = inf", "timeouts.idle", "not a finite number", "300"),
        ("[timeouts]\nconnect = 0", "timeouts.connect", "must be more than 0", "10"),
        ('[limits]\nbody_bytes = "3 MiX"', "limits.body_bytes", "unknown unit", "8 MiB"),
        ('[capture]\ncontent = "all"', "capture.content", "'all' is not a known choice", "none"),
        ("[pricing]\nprice = 3", "pricing.price", "is not a list", "[[double.brackets]]"),
        ('[providers.Foo]\nbase_url = "http://x"', "providers.Foo", "can't be a path prefix", "lower-case"),
        (
            '[providers.a]\nbase_urls = "x"',
            "providers.a.base_urls",
            "not a known key",
            "Did you mean base_url?",
        ),
        (
            '[providers.a]\nbase_url = "x.com/v1"',
            "providers.a.base_url",
            "not an http or https URL",
            "https://",
        ),
        (
            '[providers.a]\nbase_url = "http://u:p@x"',
            "providers.a.base_url",
            "user name or password",
            "api_key_env",
        ),
        (
            '[providers.a]\nbase_url = "http://x?a=b"',
            "providers.a.base_url",
            "a query or fragment",
            "path only",
        ),
        ('[providers.a]\nbase_url = "http://x:99999"', "providers.a.base_url", "is not a URL", "https://"),
        (
            '[providers.a]\napi_key_env = "sk-123"',
            "providers.a.api_key_env",
            "not the name of an env",
            "not the key",
        ),
        ('[providers.a]\nkey_header = "a b"', "providers.a.key_header", "not a header name", "x-api-key"),
        (
            '[storage]\nurl = "mysql://u:secret@h/d"',
            "storage.url",
            "can't be used",
            "sqlite:///",
        ),
    ],
)
def test_every_error_names_the_key_the_fault_and_the_cure(text: str, key: str, what: str, how: str) -> None:
    problem = problems_of(text)[key]
    assert what in problem.what
    assert how in problem.how


def test_all_problems_are_told_at_once() -> None:
    assert set(problems_of("[server]\nport = -1\nworkers = 0\n[storage]\nbatch_rows = 0")) == {
        "server.port",
        "server.workers",
        "storage.batch_rows",
    }


def test_errors_in_the_environment_name_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHBRIDGE_SERVER__PORT", "abc")
    with pytest.raises(SettingsError, match=r"server\.port \(from WEIGHBRIDGE_SERVER__PORT\): 'abc' is not"):
        load()


def test_unknown_section_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHBRIDGE_SERVR__PORT", "1")
    with pytest.raises(SettingsError, match="Did you mean SERVER"):
        load()


def test_variables_that_platforms_inject_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Kubernetes service named weighbridge makes these."""
    monkeypatch.setenv("WEIGHBRIDGE_PORT", "tcp://10.0.0.1:8707")
    monkeypatch.setenv("WEIGHBRIDGE_SERVICE_HOST", "10.0.0.1")
    assert load().server.port == 8707


def test_json_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHBRIDGE_TELEMETRY__HEADERS", '{"authorization": "x"}')
    assert load().telemetry.headers["authorization"].get_secret_value() == "x"
    monkeypatch.setenv("WEIGHBRIDGE_TELEMETRY__HEADERS", "{bad")
    with pytest.raises(SettingsError, match="is not JSON"):
        load()


def test_missing_and_broken_files_are_named() -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.toml: there is no such file"):
        load(Path("nowhere.toml"))
    with pytest.raises(SettingsError, match=r"is not valid TOML.*line 1"):
        load(write("[server\n", "given.toml"))
    Path("given.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="not UTF-8"):
        load(Path("given.toml"))


@pytest.mark.parametrize(
    "text",
    [
        '[auth]\nadmin_token = ["hunter2"]',
        '[providers.openai]\napi_key = ["hunter2"]',
        '[storage]\nurl = "mysql://me:hunter2@host/db"',
        '[providers.openai]\nbase_url = "https://me:hunter2@host"',
        '[telemetry]\nheaders = { authorization = ["hunter2"] }',
        '[providers.openai]\nkey = "hunter2"',
        '[providers.openai]\napi_key_env = "hunter2-is-a-key"',
    ],
)
def test_no_secret_in_an_error(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(write(text))
    assert "hunter2" not in str(caught.value)


def test_no_secret_in_a_dump() -> None:
    settings = load(
        write(
            '[auth]\nadmin_token = "hunter2"\n[storage]\nurl = "postgresql://me:hunter2@host/db"\n'
            '[providers.a]\nbase_url = "http://x"\napi_key = "hunter2"\n'
            '[telemetry]\nheaders = { x = "hunter2" }'
        )
    )
    assert "hunter2" not in repr(settings)
    assert settings.proxy.stream_usage is StreamUsage.INJECT
