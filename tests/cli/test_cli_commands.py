"""Commands as they are typed: output, exit codes, no tracebacks."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr

from gateway.cli.exits import Exit
from gateway.cli.group import main
from gateway.ids import call_id
from gateway.prices import price_book
from gateway.settings.sections import Pricing
from gateway.version import VERSION
from pricing.book import PriceBook, PriceQuery
from pricing.cost import NOT_BILLABLE
from pricing.usage import Usage
from telemetry.outcome import Outcome
from telemetry.record import Answer, CallRecord, Route, Timing, UsageSource, What, Who

from .conftest import Weighbridge, put_records

COMMANDS = [
    "alerts",
    "audit",
    "backtest",
    "budgets",
    "calls",
    "check",
    "content",
    "costs",
    "db",
    "demo",
    "erase-user",
    "explain",
    "export",
    "export-user",
    "keys",
    "optouts",
    "prices",
    "reload",
    "report",
    "rollups",
    "serve",
    "tokens",
    "version",
]
NOON = 1_790_000_000_000_000_000
SECOND = 1_000_000_000
BOOK = price_book(Pricing())

Serving = Callable[..., Awaitable[str]]


def record(number: int = 0, **changed: Any) -> CallRecord:
    at = NOON + number * SECOND
    model = changed.get("model", "gpt-4o")
    outcome = changed.get("outcome", Outcome.COMPLETED)
    usage = Usage(1200, 345) if outcome in (Outcome.COMPLETED, Outcome.CANCELLED) else None
    cost = NOT_BILLABLE
    if usage is not None:
        query = PriceQuery("openai", model, model, usage, at, estimated=outcome is Outcome.CANCELLED)
        cost = BOOK.price(query)
    return CallRecord(
        call_id(at),
        outcome,
        Who(team=changed.get("team")),
        What("openai", "openai_chat", "chat", "POST", "/v1/chat/completions", model, False, None, 300),
        Route("api.openai.com", 1),
        Timing(at, 850_000, 840_000, 300_000, 310_000, 900),
        Answer(changed.get("status", 200), model),
        usage,
        UsageSource.PROVIDER if usage else UsageSource.NONE,
        cost,
        usage_raw=b'{"prompt_tokens":1200,"completion_tokens":345}' if usage else None,
    )


def test_help_lists_every_command_and_the_exit_codes(weighbridge: Weighbridge) -> None:
    result = weighbridge("--help")
    assert result.exit_code == 0
    lines = result.output.partition("Commands:")[2].splitlines()
    listed = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert listed == COMMANDS
    assert all(main.get_command(None, name) is not None for name in listed)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(weighbridge: Weighbridge, name: str) -> None:
    result = weighbridge(name, "--help")
    assert result.exit_code == 0
    assert "Usage: weighbridge" in result.output


def test_help_imports_nothing_heavy() -> None:
    heavy = ("aiohttp", "pydantic", "rich", "sqlalchemy", "opentelemetry", "msgspec", "asyncio")
    code = (
        "import sys; from gateway.cli.group import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print([name for name in {heavy} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_a_worker_starts_without_what_it_may_never_need() -> None:
    """Databases are loaded late or by kind, libraries of alert channels where one is configured."""
    needless = ("sqlalchemy", "alembic", "asyncpg", "aiosqlite", "numpy", "datasketches", "tiktoken", "grpc")
    needless += ("aiosmtplib", "standardwebhooks", "apprise", "pyarrow", "requests")
    code = (
        "import sys, gateway.serve; from gateway.alerting.plan import plan_of; from gateway.settings import load\n"
        "plan = plan_of(load(None, {}), {})\n"
        f"print(len(plan.rules), [name for name in {needless} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1 []"


def test_python_m_gateway_is_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"weighbridge {VERSION} ")


def test_an_unknown_command_is_a_usage_error(weighbridge: Weighbridge) -> None:
    assert weighbridge("cals").exit_code == Exit.USAGE


def test_check_is_quiet_about_good_settings(
    weighbridge: Weighbridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = "ok  no settings file: the defaults, and 1 variable WEIGHBRIDGE_SECTION__KEY\n"
    result = weighbridge("check")
    assert (result.exit_code, result.output) == (0, given)
    monkeypatch.delenv("WEIGHBRIDGE_SERVER__PORT")
    assert weighbridge("check").output == "ok  no settings file: the defaults\n"


def test_check_tells_key_fault_and_cure(weighbridge: Weighbridge) -> None:
    Path("weighbridge.toml").write_text("[server]\nprot = 1\n")
    result = weighbridge("check")
    assert result.exit_code == Exit.USAGE
    assert "error  server.prot: is not a known key\n       Did you mean port?" in result.output


def test_check_warns_and_strict_makes_it_fail(weighbridge: Weighbridge) -> None:
    Path("w.toml").write_text('[providers.openai]\nbase_url = "https://a.example/v1"\n')
    result = weighbridge("check", "--config", "w.toml")
    assert result.exit_code == 0
    assert "warning  providers.openai.base_url: ends in /v1" in result.output
    assert "ok  w.toml, and 1 variable WEIGHBRIDGE_SECTION__KEY (1 warning)" in result.output
    assert weighbridge("check", "--config", "w.toml", "--strict").exit_code == Exit.PROBLEM


def test_check_ends_with_a_problem_when_something_can_not_work(weighbridge: Weighbridge) -> None:
    Path("w.toml").write_text('[storage]\ndata_dir = "w.toml"\n')
    assert weighbridge("check", "-c", "w.toml").exit_code == Exit.PROBLEM


def test_without_gateway_and_records_calls_says_what_to_do(weighbridge: Weighbridge) -> None:
    for command in (["calls"], ["explain"], ["calls", "--follow"]):
        result = weighbridge(*command)
        assert result.exit_code == Exit.UNREACHABLE
        assert "no gateway runs on port 1" in result.output
        assert "weighbridge serve" in result.output


def test_calls_from_the_database(weighbridge: Weighbridge) -> None:
    put_records(
        record(0, team="search"),
        record(1, model="nobody-knows-it"),
        record(2, outcome=Outcome.CANCELLED, team="search"),
        record(3, outcome=Outcome.TIMEOUT, status=504),
    )
    result = weighbridge("calls")
    assert result.exit_code == 0
    heading, first, second, third, fourth, empty, summary = result.output.splitlines()
    assert heading.split() == [
        "TIME",
        "TEAM",
        "PROVIDER",
        "MODEL",
        "STATUS",
        "IN",
        "OUT",
        "TTFT",
        "TOOK",
        "COST",
        "ID",
    ]
    assert first.split()[2:] == [
        "search", "openai", "gpt-4o", "200", "1,200", "345", "310", "ms", "850", "ms", "$0.006450", first.split()[-1],
    ]  # fmt: skip
    assert "unpriced" in second
    assert "cancelled" in third
    assert "~$0.006450" in third
    assert "timeout" in fourth
    assert empty == ""
    assert summary == "4 calls, $0.012900, of which ~$0.006450 estimated, 1 unpriced · ~ estimated"


def test_calls_filters_limits_and_json(weighbridge: Weighbridge) -> None:
    records = [record(number, team="a" if number % 2 else "b") for number in range(5)]
    put_records(*records)
    lines = weighbridge("calls", "--team", "a", "--json").output.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [records[1].id, records[3].id]
    assert "older ones with --limit" in weighbridge("calls", "-n", "2").output
    assert weighbridge("calls", "--team", "nobody").output == "No call matches.\n"
    assert weighbridge("calls", "--failed").output == "No call matches.\n"


def test_a_bad_filter_is_a_usage_error_without_a_traceback(weighbridge: Weighbridge) -> None:
    put_records(record())
    result = weighbridge("calls", "--since", "yesterday")
    assert result.exit_code == Exit.USAGE
    assert "'--since': 'yesterday' is not an ISO 8601 time" in result.output


def test_explain_adds_up(weighbridge: Weighbridge) -> None:
    kept = record(0, team="search")
    put_records(kept, record(1))
    for given in (kept.id, kept.id.upper(), kept.id[-8:]):
        output = weighbridge("explain", given).output
        assert output.startswith(f"{kept.id} completed\n")
        assert '{"prompt_tokens":1200,"completion_tokens":345}' in output
        assert "input 1,200  output 345" in output
        assert ["input", "1,200", "$2.5", "per", "million", "$0.003"] in [
            line.split() for line in output.splitlines()
        ]
        assert ["output", "345", "$10", "per", "million", "$0.00345"] in [
            line.split() for line in output.splitlines()
        ]
        assert "Cost $0.00645  priced, from: catalogue" in output


def test_explain_without_an_id_takes_the_latest(weighbridge: Weighbridge) -> None:
    latest = record(1)
    put_records(record(0), latest)
    assert weighbridge("explain").output.startswith(latest.id)
    both = json.loads(weighbridge("explain", "--json").output)
    assert both["call"]["id"] == both["cost"]["id"] == latest.id


@pytest.mark.parametrize(
    ("outcome", "status", "code", "told", "shown"),
    [
        (
            Outcome.REFUSED,
            401,
            "weighbridge_unauthorized",
            "HTTP 401 · weighbridge_unauthorized",
            "refused 401",
        ),
        (Outcome.PROVIDER_ERROR, 429, "rate_limit_exceeded", "HTTP 429 · rate_limit_exceeded", "429"),
        (Outcome.TRUNCATED, 200, None, "HTTP 200", "truncated"),
    ],
)
def test_a_call_that_did_not_end_well_says_how(
    weighbridge: Weighbridge, outcome: Outcome, status: int, code: str | None, told: str, shown: str
) -> None:
    kept = record(outcome=outcome)
    put_records(msgspec.structs.replace(kept, answer=Answer(status, error_code=code)))
    assert weighbridge("explain", kept.id).output.splitlines()[2] == f"  {told}"
    assert f" {shown} " in weighbridge("calls").output


def test_explain_of_nothing_is_a_problem(weighbridge: Weighbridge) -> None:
    put_records(record())
    result = weighbridge("explain", "ffffffff")
    assert result.exit_code == Exit.PROBLEM
    assert "there is no call ffffffff" in result.output


async def test_a_running_gateway_is_asked_first(
    weighbridge: Weighbridge, serving: Serving, book: PriceBook
) -> None:
    pending = record(9, team="fresh")
    url = await serving(pending=lambda id_: pending if id_ == pending.id else None)
    result = await asyncio.to_thread(weighbridge, "explain", pending.id, "--url", url)
    assert result.output.startswith(pending.id)
    result = await asyncio.to_thread(weighbridge, "calls", "--url", url)
    assert "No calls yet" in result.output
    assert "export OPENAI_BASE_URL=" in result.output


async def test_the_admin_token_is_sent_and_asked_for(
    weighbridge: Weighbridge, serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await serving(admin_token=lambda: SecretStr("horse"))
    result = await asyncio.to_thread(weighbridge, "calls", "--url", url)
    assert result.exit_code == Exit.UNREACHABLE
    assert "Set WEIGHBRIDGE_ADMIN_TOKEN" in result.output
    monkeypatch.setenv("WEIGHBRIDGE_ADMIN_TOKEN", "horse")
    assert (await asyncio.to_thread(weighbridge, "calls", "--url", url)).exit_code == 0


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "file:///etc/hostname", "127.0.0.1:8707"])
def test_an_address_without_a_gateway(weighbridge: Weighbridge, url: str) -> None:
    result = weighbridge("calls", "--url", url)
    assert result.exit_code in (Exit.UNREACHABLE, Exit.USAGE)
    assert result.output.startswith("error  ")


def test_prices_of_a_model(weighbridge: Weighbridge) -> None:
    output = weighbridge("prices", "show", "gpt-4o", "--provider", "openai").output
    assert ["openai", "2.5", "10", "1.25"] in [line.split()[:4] for line in output.splitlines()]
    assert "USD per million tokens" in output
    assert "openai\n" in weighbridge("prices", "providers").output


def test_an_unknown_model_gets_a_suggestion(weighbridge: Weighbridge) -> None:
    result = weighbridge("prices", "show", "gpt-4oo")
    assert result.exit_code == Exit.PROBLEM
    assert "openai/gpt-4o" in result.output


def test_own_prices_are_shown(weighbridge: Weighbridge) -> None:
    Path("weighbridge.toml").write_text(
        '[[pricing.price]]\nprovider = "house"\nmodels = ["m"]\nrates = { input = 0.1, output = 2 }\n'
    )
    output = weighbridge("prices", "show", "m", "--provider", "house").output
    assert ["house", "0.1", "2"] in [line.split()[:3] for line in output.splitlines()]


def test_the_database_is_made_and_checked(weighbridge: Weighbridge) -> None:
    result = weighbridge("db", "check")
    assert result.exit_code == Exit.PROBLEM
    assert "does not exist yet" in result.output
    for _ in range(2):
        assert "the schema is current" in weighbridge("db", "migrate").output
    assert weighbridge("db", "check").output.startswith("ok  weighbridge-data/weighbridge.db")


def test_a_database_that_is_away(weighbridge: Weighbridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHBRIDGE_STORAGE__URL", "postgresql://me:hunter2@127.0.0.1:1/x")
    for command in (["db", "check"], ["db", "migrate"], ["calls"]):
        result = weighbridge(*command)
        assert result.exit_code == Exit.UNREACHABLE, result.output
        assert "hunter2" not in result.output


def test_serve_refuses_settings_that_can_not_work(weighbridge: Weighbridge) -> None:
    Path("weighbridge.toml").write_text('[storage]\ndata_dir = "weighbridge.toml"\n')
    result = weighbridge("serve")
    assert result.exit_code == Exit.USAGE
    assert "storage.data_dir" in result.output
