"""``weighbridge check``: what is said of settings that are well formed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.settings import Problem, Settings
from gateway.settings.lint import lint
from gateway.settings.problem import Severity

ERROR, WARNING = Severity.ERROR, Severity.WARNING


def found(tmp_path: Path, environ: dict[str, str] | None = None, **sections: Any) -> list[Problem]:
    sections.setdefault("storage", {}).setdefault("data_dir", tmp_path / "data")
    return lint(Settings(**sections), environ or {})


def test_the_defaults_are_clean_and_nothing_is_written(tmp_path: Path) -> None:
    assert found(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sections", "key", "severity", "text"),
    [
        ({"providers": {"openai": {"base_url": "https://a.example/v1"}}}, "providers.openai.base_url", WARNING,
         "/v1/v1/"),
        ({"providers": {"me": {"kind": "gemini", "base_url": "https://a.example/x/v1beta"}}},
         "providers.me.base_url", WARNING, "/v1beta/v1beta"),
        ({"providers": {"openai": {"base_url": "http://a.example"}}}, "providers.openai.base_url", WARNING, "plain http"),
        ({"providers": {"azure": {}}}, "providers.azure.base_url", WARNING, "no fixed address"),
        ({"providers": {"openai": {"api_key_env": "K"}}}, "providers.openai.api_key_env", WARNING, "K is not set"),
        ({"providers": {"openai": {"api_key": "x"}}}, "providers.openai.api_key", WARNING, "key in the file"),
        ({"providers": {"openai": {"price_as": "opnai"}}}, "providers.openai.price_as", WARNING, "unpriced"),
        ({"providers": {"house": {"base_url": "http://h:1"}}}, "providers.house.price_as", WARNING, "unpriced"),
        ({"providers": {"house": {"kind": "x", "base_url": "http://h:1"}}}, "providers.house.kind", ERROR, "'x'"),
        ({"auth": {"admin_token": "x"}}, "auth.admin_token", WARNING, "secret in the file"),
        ({"auth": {"mode": "keys"}}, "auth.mode", WARNING, "name no key of any provider"),
        ({"server": {"host": "0.0.0.0"}}, "auth.admin_token_env", WARNING, "admin API stays closed"),
        ({"server": {"workers": 2, "port": 0}}, "server.port", ERROR, "a port of its own"),
        ({"storage": {"url": "postgresql://a:b@h/d"}}, "storage.url", WARNING, "password in the file"),
        ({"telemetry": {"headers": {"a": "b"}}}, "telemetry.headers", WARNING, "secret in the file"),
        ({"telemetry": {"endpoint": "http://c:4317"}}, "telemetry.endpoint", WARNING, "usual port of the other"),
        ({"timeouts": {"total": 5, "connect": 2, "response_head": 3}}, "timeouts.idle", WARNING, "total (5 s)"),
        ({"limits": {"body_bytes": 2048, "hold_body_bytes": 4096}}, "limits.hold_body_bytes", WARNING, "larger"),
        ({"pricing": {"overrides": "nowhere.toml"}}, "pricing.overrides", ERROR, "nowhere.toml can't be read"),
        ({"pricing": {"snapshot": "nowhere.json"}}, "pricing.snapshot", ERROR, "nowhere.json"),
        ({"pricing": {"price": [{"provider": "x", "models": ["m"]}]}}, "pricing", ERROR, "rates"),
        ({"pricing": {"price": [{"provider": "x", "models": ["m"], "rates": {"inptu": 1.0}}]}}, "pricing", ERROR,
         "inptu"),
    ],
)  # fmt: skip
def test_what_is_found(
    tmp_path: Path, sections: dict[str, Any], key: str, severity: Severity, text: str
) -> None:
    (problem,) = [problem for problem in found(tmp_path, **sections) if text in problem.what]
    assert (problem.key, problem.severity) == (key, severity)
    assert problem.how


def test_a_key_of_the_gateway_on_an_open_port_is_told(tmp_path: Path) -> None:
    problems = found(
        tmp_path,
        {"K": "v", "WEIGHBRIDGE_ADMIN_TOKEN": "t"},
        server={"host": "::"},
        providers={"openai": {"api_key_env": "K"}},
    )
    assert [problem.key for problem in problems] == ["providers.openai"]


def test_secrets_from_the_environment_are_fine(tmp_path: Path) -> None:
    environ = {
        "WEIGHBRIDGE_AUTH__ADMIN_TOKEN": "x",
        "WEIGHBRIDGE_PROVIDERS__OPENAI__API_KEY": "x",
        "WEIGHBRIDGE_STORAGE__URL": "postgresql://a:b@h/d",
    }
    assert not found(
        tmp_path,
        environ,
        auth={"admin_token": "x"},
        providers={"openai": {"api_key": "x"}},
        storage={"url": "postgresql://a:b@h/d"},
    )


def test_a_data_dir_that_can_not_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "below" / "it"):
        (problem,) = found(tmp_path, storage={"data_dir": folder})
        assert problem.key == "storage.data_dir"
        assert f"{file} is not a folder" in problem.what
    monkeypatch.setattr("os.access", lambda path, mode: False)
    (problem,) = found(tmp_path)
    assert f"{tmp_path} can't be written" in problem.what


def test_own_prices_and_names_of_a_server_are_enough_to_price_it(tmp_path: Path) -> None:
    house = {"house": {"base_url": "http://h:1"}}
    price = {"provider": "house", "models": ["m"], "rates": {"input": 0.1, "output": 2}}
    assert not found(tmp_path, providers=house, pricing={"price": [price]})
    assert not found(tmp_path, providers=house, pricing={"serves": {"house": ["openai"]}})


def test_errors_come_first(tmp_path: Path) -> None:
    problems = found(tmp_path, providers={"a": {}, "openai": {"base_url": "http://a.example"}})
    assert [problem.severity for problem in problems] == [ERROR]
    problems = found(
        tmp_path,
        server={"host": "0.0.0.0", "port": 0, "workers": 2},
        auth={"mode": "keys", "admin_token": "x"},
    )
    assert [problem.severity for problem in problems] == [ERROR, WARNING, WARNING]


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("WEIGHBRIDGE_SERVER_PORT", "9000", "WEIGHBRIDGE_SERVER__PORT"),
        ("WEIGHBRIDGE_STORAGE_URL", "postgresql://h/d", "WEIGHBRIDGE_STORAGE__URL"),
        ("WEIGHBRIDGE_DATA_DIR", "/data", "WEIGHBRIDGE_STORAGE__DATA_DIR"),
        ("weighbridge_port", "9000", "WEIGHBRIDGE_SERVER__PORT"),
        ("WEIGHBRIDGE_PORT", "tcp://10.0.0.1:8707", None),
        ("WEIGHBRIDGE_SERVICE_PORT", "8707", None),
        ("WEIGHBRIDGE_URL", "http://127.0.0.1:8707", None),
        ("WEIGHBRIDGE_ADMIN_TOKEN", "x", None),
        ("WEIGHBRIDGE_SERVER__PORT", "9000", None),
        ("SERVER_PORT", "9000", None),
    ],
)
def test_a_variable_that_nobody_reads_is_told(
    tmp_path: Path, name: str, value: str, meant: str | None
) -> None:
    problems = [problem for problem in found(tmp_path, {name: value}) if problem.key == name]
    if meant is None:
        assert problems == []
    else:
        assert [(one.severity, one.what) for one in problems] == [(WARNING, "is not read")]
        assert meant in problems[0].how


GPT = {"provider": "openai", "models": ["gpt-4o"]}


@pytest.mark.parametrize(
    ("pricing", "key", "what", "how"),
    [
        ({"price": [{**GPT, "rates": {"input": 0.0000025, "output": 9}}]}, "pricing.price[0].rates",
         "more than 10 times off: input 0.0000025 where gpt-4o is listed at 2.5", "USD per million tokens"),
        ({"price": [{**GPT, "rates": {"web_search": "1000"}}]}, "pricing.price[0].rates",
         "web_search 1000 where gpt-4o is listed at 10", "USD per thousand;"),
        ({"price": [{**GPT, "rates": {"input": 0.0000025, "output": 0.00001, "web_search": "1000"}}]},
         "pricing.price[0].rates", "web_search 1000 where gpt-4o is listed at 10",
         "Rates are USD per million tokens (input and output) and per thousand (web_search);"),
        ({"price": [{"provider": "openai", "models": ["tts-1"], "rates": {"character": 0.000015}}]},
         "pricing.price[0].rates", "character 0.000015 where tts-1 is listed at 15", "USD per million characters;"),
        ({"price": [{"provider": "opnai", "models": ["x"], "free": True}]}, "pricing.price[0].provider", "'opnai'",
         "Did you mean openai?"),
        ({"alias": {"openai": {"mine": "gpt4o"}}}, "pricing.alias.openai.mine", "'gpt4o' has no known price",
         "Did you mean gpt-4o?"),
        ({"alias": {"azzure": {"mine": "gpt-4o"}}}, "pricing.alias.azzure", "'azzure'", "Did you mean azure?"),
    ],
)  # fmt: skip
def test_prices_that_cannot_be_meant_are_told_of(
    tmp_path: Path, pricing: dict[str, Any], key: str, what: str, how: str
) -> None:
    (problem,) = found(tmp_path, pricing=pricing)
    assert (problem.key, problem.severity) == (key, WARNING)
    assert what in problem.what
    assert how in problem.how


def test_prices_of_a_file_and_deployments_are_looked_at_too(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('[[price]]\nprovider = "openai"\nmodels = ["new", "gpt-4o"]\nrates = { output = 1000 }\n')
    azure = {"base_url": "https://a.example", "deployments": {"prod": "gpt-4oo", "good": "gpt-4o"}}
    price = {"provider": "openai", "models": ["gpt-4o"], "rates": {"output": 8}}
    problems = found(tmp_path, pricing={"overrides": file, "price": [price]}, providers={"azure": azure})
    assert [problem.key for problem in problems] == [
        "pricing.overrides: price[0].rates",
        "providers.azure.deployments.prod",
    ]


def test_prices_that_can_be_meant_are_left_alone(tmp_path: Path) -> None:
    prices = [
        {
            **GPT,
            "rates": {"input": 0.26, "output": 99, "cache_read": 0},
        },  # within ten times, and free on purpose
        {**GPT, "when": {"processing": "batch"}, "rates": {"input": 0.01, "output": 0.01}},
        {"provider": "gemini", "models": ["*"], "rates": {"input": 1000, "output": 1000}},
        {"provider": "moonshotai", "models": ["mine"], "rates": {"input": 1000, "output": 1000}},
        {"provider": "house", "models": ["mine"], "free": True},
    ]
    house = {"base_url": "http://10.0.0.5:8000"}
    alias = {
        "house": {"x": "mine"},
        "vertex": {"flash": "gemini-2.5-flash"},
        "openai": {"c": "anthropic/claude-sonnet-4-5"},
    }
    assert found(tmp_path, providers={"house": house}, pricing={"price": prices, "alias": alias}) == []


@pytest.mark.parametrize(
    ("price", "what"),
    [
        (
            {"provider": "openai", "model": "gpt-4o"},
            "price[0].model: unknown key; known are provider, models,",
        ),
        ({**GPT, "tiers": [{"over": 1}]}, "price[0].tiers[0].over: unknown key; known are above, rates"),
        ({"provider": "openai", "models": "gpt-4o"}, "price[0].models: expected a list, got a text"),
    ],
)
def test_what_is_wrong_with_a_price_is_told_in_the_words_of_toml(
    tmp_path: Path, price: dict[str, Any], what: str
) -> None:
    (problem,) = found(tmp_path, pricing={"price": [price]})
    assert problem.what.startswith(what)
    file = tmp_path / "prices.toml"
    file.write_text('[[price]]\nprovider = "openai"\ncurrency = "EUR"\n')
    (other,) = found(tmp_path, pricing={"overrides": file})
    assert "price[0].currency: unknown key; known are provider," in other.what
