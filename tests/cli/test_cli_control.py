"""Keys, tokens, budgets and the log on the command line: on a real database, with and without a gateway running."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import time
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from rich.console import Console
from rig.bodies import openai_chat
from rig.client import call
from rig.gateway import gateway
from rig.ledger import config
from rig.migrated import with_tables
from rig.script import reply
from rig.upstream import ScriptedUpstream

from gateway.cli import wording
from gateway.cli.audit import what
from gateway.cli.budget_table import percent
from gateway.cli.exits import Exit
from gateway.cli.group import main
from gateway.cli.plain_table import Column, print_table
from gateway.ids import call_id
from pricing.cost import Cost, CostSource, CostStatus
from storage.budgets.companion import BudgetCompanion
from storage.ledger import Ledger
from telemetry.outcome import Outcome
from telemetry.record import Answer, CallRecord, Route, Timing, UsageSource, What, Who

from .conftest import Weighbridge

USD = 1_000_000_000
CHAT = "/openai/v1/chat/completions"


def run(*arguments: str) -> Result:
    """With stdout and stderr apart."""
    return CliRunner().invoke(main, arguments, prog_name="weighbridge")


def done(*arguments: str) -> str:
    """Its stdout; fails where the command does."""
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def objects(*arguments: str) -> list[Any]:
    return [json.loads(line) for line in done(*arguments, "--json").splitlines()]


def spend(*amounts: tuple[int | None, str]) -> None:
    """Calls of users, counted by what budgets there are."""

    async def put() -> None:
        data = with_tables(Path("weighbridge-data"))
        ledger = Ledger(config(data), companions=(BudgetCompanion(),))
        await ledger.start()
        for nano, user in amounts:
            status = CostStatus.UNPRICED if nano is None else CostStatus.PRICED
            at = time.time_ns()
            ledger.closed(
                CallRecord(
                    call_id(at),
                    Outcome.COMPLETED,
                    Who(team="search", user=user),
                    What("openai", "openai_chat", "chat", "POST", "/v1/x", "gpt-4o", False, None, 3),
                    Route(),
                    Timing(at),
                    Answer(200),
                    None,
                    UsageSource.NONE,
                    Cost(status, CostSource.CATALOGUE, nano),
                )
            )
        assert await ledger.drained(20)
        await ledger.stop(5)

    asyncio.run(put())


def test_the_life_of_a_key() -> None:
    made = run(
        "keys", "create", "search", "--team", "search", "--tag", "tier=gold", "--provider", "openai",
        "--model", "gpt-4o*", "--require", "session", "--calls-per-minute", "60", "--expires", "90d", "--traced",
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    assert re.fullmatch(r"wbk_[\w-]{43}\n", made.stdout)
    assert "x-weighbridge-key: " in made.stderr
    assert made.stdout.strip() not in made.stderr
    (key,) = objects("keys", "list")
    assert (key["name"], key["team"], key["tags"], key["models"], key["traced"]) == (
        "search",
        "search",
        {"tier": "gold"},
        ["gpt-4o*"],
        True,
    )
    assert re.search(r"search +key_[0-9a-f]{16} +active +team search +60 calls/min", done("keys"))
    update = ("--unset", "tag", "--unset", "expires", "--no-traced", "--concurrent", "4", "--name", "s2")
    done("keys", "update", "search", *update)
    (changed,) = objects("keys", "show", "s2")
    assert changed == {
        **key, "tags": {}, "expires_at": None, "traced": False, "concurrent": 4, "name": "s2",
    }  # fmt: skip
    rotated = run("keys", "rotate", key["id"], "--grace", "2h")
    assert rotated.stdout != made.stdout
    assert "The old one is good until 20" in rotated.stderr
    assert "replaced secret: " in done("keys", "show", "s2")
    assert "is revoked." in done("keys", "revoke", "s2")
    assert "is revoked already, since 20" in done("keys", "revoke", key["id"])
    assert done("keys") == "1 revoked: shown with --all\n"
    assert "revoked" in done("keys", "list", "--all")
    for command in (("update", key["id"], "--team", "x"), ("rotate", key["id"])):
        result = run("keys", *command)
        assert (result.exit_code, "for ever" in result.stderr) == (Exit.PROBLEM, True)
    actions = [line["action"] for line in objects("audit")]
    assert actions == ["key.revoke", "key.rotate", "key.update", "key.create"]
    assert all(line["actor"].startswith("cli") for line in objects("audit", "--action", "key"))
    secret = made.stdout.strip()[4:].encode()
    assert not [file for file in Path().rglob("*") if file.is_file() and secret in file.read_bytes()]


def test_tokens(weighbridge: Weighbridge) -> None:
    assert weighbridge("tokens", "create", "x").exit_code == Exit.USAGE
    assert weighbridge("tokens", "create", "x", "--all", "--team", "y").exit_code == Exit.USAGE
    made = run("tokens", "create", "finance", "--tenant", "acme", "--team", "search")
    assert re.fullmatch(r"wbt_[\w-]{43}\n", made.stdout)
    assert "Authorization: Bearer" in made.stderr
    (everything,) = objects("tokens", "create", "boss", "--all")
    assert everything["secret"].startswith("wbt_")
    assert re.search(r"finance +tok_\w+ +active +tenant acme, team search", done("tokens"))
    assert re.search(r"boss +tok_\w+ +active +everything", done("tokens", "list"))
    assert "is revoked." in done("tokens", "revoke", "boss")
    assert [token["name"] for token in objects("tokens", "list")] == ["finance"]


def test_the_life_of_a_budget() -> None:
    assert done("budgets", "create", "each", "--limit", "3", "--per", "user", "--mode", "soft").startswith(
        "Budget 'each' (bud_"
    )
    spend((2 * USD, "ann"), (3 * USD + 1_000, "bob"), (None, "bob"))
    options = (
        "--limit",
        "500.005",
        "--scope",
        "team=search",
        "--mode",
        "hard",
        "--timezone",
        "Europe/Berlin",
    )
    told = done("budgets", "create", "search", *options, "--threshold", "50%", "--threshold", "0.9")
    assert "$500.005 per month (Europe/Berlin) for team search, mode hard; so far $5.00 spent." in told
    table = done("budgets").splitlines()
    assert re.split(r"  +", table[0].strip()) == [
        "NAME", "WHOSE", "WINDOW", "LIMIT", "SPENT", "RESERVED", "REMAINING", "USED", "PROJECTED", "MODE",
    ]  # fmt: skip
    assert re.split(r"  +", table[1].strip()) == ["each", "each user", "month", "$3.00", "soft"]
    assert re.split(r"  +", table[2].strip())[:5] == ["user bob", "$3.00", "$0.00", "$0.00", "100 %"]
    assert re.split(r"  +", table[3].strip())[:5] == ["user ann", "$2.00", "$0.00", "$1.00", "66 %"]
    assert re.split(r"  +", table[4].strip())[:5] == ["search", "team search", "month (Europe/Berlin)", "$500.005", "$5.00"]  # fmt: skip
    assert table[-1] == "each: 1 unpriced · search: 1 unpriced"
    (shown,) = objects("budgets", "show", "search")
    assert (shown["limit"], shown["thresholds"]) == ("500.005", [0.5, 0.9])
    assert shown["accounts"][0]["spent"]["nano_usd"] == 5 * USD + 1_000
    assert "thresholds:     50 %, 90 %" in done("budgets", "show", "search")
    done("budgets", "update", "search", "--limit", "600", "--everything", "--name", "all")
    (changed,) = objects("budgets", "show", "all")
    assert (changed["limit"], changed["scope"], changed["mode"]) == ("600", {}, "hard")
    with sqlite3.connect("weighbridge-data/weighbridge.db") as db:
        db.execute("UPDATE budget_accounts SET spent = 1")
    db.close()
    assert done("budgets", "rebuild", "all") == "all: $0.000000001 spent -> $5.00 spent\n"
    assert "each: 2 accounts, at most $0.000000001 -> 2 accounts, at most $3.00" in done("budgets", "rebuild")
    assert "is no more" in done("budgets", "delete", "all")
    assert [budget["name"] for budget in objects("budgets", "list")] == ["each"]
    assert "limit $500.00 -> $600.00, scope team=search -> –" in done("audit", "--action", "budget.update")


def test_a_budget_that_no_call_draws_on_is_told_of() -> None:
    spend((USD, "ann"))
    made = run("budgets", "create", "typo", "--limit", "3", "--scope", "model=gpt4o")
    assert made.exit_code == 0
    assert made.stderr == (
        "warning  scope: no call asks for gpt4o, of the latest 1\n"
        "         Did you mean gpt-4o? Until one does, the budget counts nothing\n"
    )
    shown = run("budgets", "show", "typo")
    assert (shown.exit_code, shown.stderr) == (0, made.stderr)
    (as_json,) = objects("budgets", "show", "typo")
    assert len(as_json["notes"]) == 1
    assert run("budgets", "update", "typo", "--scope", "model=gpt-4o").stderr == ""
    one = done("budgets", "create", "each", "--limit", "3", "--per", "user")
    assert "so far 1 account, at most $1.00." in one


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("keys", Exit.UNREACHABLE, "there is no database in weighbridge-data"),
        ("keys create a --provider opnai", Exit.USAGE, "--provider: 'opnai' is not known"),
        ("keys create a --expires 2020-01-01", Exit.USAGE, "--expires: 2020-01-01 is in the past"),
        ("keys create a --concurrent 0 --require tem", Exit.USAGE, "--concurrent: input should be greater"),
        ("keys create a --concurrent 0 --require tem", Exit.USAGE, "Did you mean team?"),
        ("budgets create a --limit 1,50", Exit.USAGE, "--limit: '1,50' is not a number"),
        ("budgets create a --limit 5 --threshold 50", Exit.USAGE, "--threshold: 50 is not usable"),
        ("budgets create a --limit 5 --scope team=a --per team", Exit.USAGE, "--scope: names team twice"),
        ("budgets create a --limit 5 --unpriced ceiling", Exit.USAGE, "--ceiling: is missing"),
        ("budgets create a", Exit.USAGE, "Missing option '--limit'"),
        ("tokens create a", Exit.USAGE, "Name --tenant, --team or --user"),
    ],
)
def test_what_is_wrong_is_told_with_its_cure(arguments: str, code: int, told: str) -> None:
    result = run(*arguments.split())
    assert (result.exit_code, result.stdout) == (code, "")
    assert told in result.stderr
    assert "Traceback" not in result.output
    assert not Path("weighbridge-data").exists()


def test_names_are_looked_for() -> None:
    ids = [made["key"]["id"] for _ in range(2) for made in objects("keys", "create", "twin")]
    done("budgets", "create", "search", "--limit", "1")
    for arguments, told in (
        ("keys show twin", f"Name one by its id: {ids[1]}, {ids[0]}"),
        ("keys show twim", "Did you mean twin?"),
        ("keys update twin", "nothing is to change"),
        ("keys rotate twin --grace soon", "Write a span such as 24h"),
        ("tokens revoke t", "there is no token 't'"),
        ("budgets show serch", "Did you mean search?"),
        ("budgets update search", "nothing is to change"),
        ("budgets create search --limit 2", "weighbridge budgets update search"),
        ("budgets rebuild serch", "Did you mean search?"),
    ):
        result = run(*arguments.split())
        assert result.exit_code in (Exit.PROBLEM, Exit.USAGE)
        assert told in result.stderr


def test_the_settings_are_found_on_either_side_of_the_command() -> None:
    Path("other.toml").write_text('[storage]\ndata_dir = "elsewhere"\n')
    done("keys", "create", "a", "--config", "other.toml")
    assert Path("elsewhere/weighbridge.db").exists()
    for arguments in (("keys", "-c", "other.toml"), ("keys", "-c", "other.toml", "list"), ("keys", "list", "-c", "other.toml")):  # fmt: skip
        assert "active" in done(*arguments)
    assert run("keys").exit_code == Exit.UNREACHABLE


def test_a_schema_that_is_behind_is_left_alone_where_the_settings_say_so() -> None:
    Path("weighbridge.toml").write_text('[storage]\nmigrate = "manual"\n')
    result = run("keys", "create", "a")
    assert result.exit_code == Exit.PROBLEM
    assert "weighbridge db migrate" in result.stderr
    done("db", "migrate")
    done("keys", "create", "a")
    with sqlite3.connect("weighbridge-data/weighbridge.db") as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
    db.close()
    result = run("keys")
    assert (result.exit_code, "newer than this version" in result.stderr) == (Exit.PROBLEM, True)


def test_check_warns_where_nobody_could_call(weighbridge: Weighbridge) -> None:
    Path("weighbridge.toml").write_text(
        '[auth]\nmode = "keys"\n[providers.openai]\napi_key_env = "PATH"\n[storage]\nurl = "sqlite:///a.db"\n'
    )
    told = "warning  auth.mode: is 'keys', and there is no gateway key that is good"
    assert told in weighbridge("check").output
    assert not Path("a.db").exists()
    done("keys", "create", "a")
    assert weighbridge("check").output == "ok  weighbridge.toml, and 1 variable WEIGHBRIDGE_SECTION__KEY\n"
    done("keys", "revoke", "a")
    result = weighbridge("check", "--strict")
    assert (result.exit_code, told in result.output) == (Exit.PROBLEM, True)
    Path("a.db").write_bytes(b"no database")
    assert weighbridge("check").exit_code == 0
    Path("weighbridge.toml").write_text("")
    assert told not in weighbridge("check").output


async def test_a_running_gateway_takes_over_what_is_changed(tmp_path: Path) -> None:
    """Within about a second; looked at here without waiting for it."""

    async def weighbridge(*arguments: str) -> str:
        return await asyncio.to_thread(done, *arguments)

    async with (
        ScriptedUpstream(reply(json=openai_chat())) as upstream,
        gateway(Path("weighbridge-data"), upstream.base, auth={"mode": "keys"}) as started,
    ):
        body = {"model": "gpt-4o", "messages": []}
        secret = (await weighbridge("keys", "create", "a", "--team", "search")).strip()
        await started.governance.watch.look()
        header = [("Authorization", f"Bearer {secret}")]
        assert (await call(started.port, "POST", CHAT, header, json=body)).status == 200
        await weighbridge(
            "budgets", "create", "b", "--limit", "0", "--scope", "team=search", "--mode", "hard"
        )
        await started.governance.watch.look()
        answer = await call(started.port, "POST", CHAT, header, json=body)
        assert (answer.status, answer.json()["error"]["code"]) == (429, "weighbridge_budget_exceeded")
        await weighbridge("keys", "revoke", "a")
        await started.governance.watch.look()
        assert (await call(started.port, "POST", CHAT, header, json=body)).status == 401


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000000001"),
        (1_500, "$0.000002"),
        (4_125_000, "$0.004125"),
        (500_000_000, "$0.50"),
        (999_999_600, "$1.00"),
        (1_005_000_000, "$1.00"),
        (1_015_000_000, "$1.02"),
        (1_234_567_890_123, "$1,234.57"),
        (-1_234_567_890_123, "$-1,234.57"),
        (-500_000_000, "-$0.50"),
    ],
)
def test_money_has_two_to_six_digits(nano: int, text: str) -> None:
    assert wording.money(nano) == text.replace("$-", "-$")


def test_a_share_is_never_rounded_up() -> None:
    assert [percent(share) for share in (0.0, 0.29, 0.999999, 1.0, 2.5)] == ["0 %", "29 %", "99 %", "100 %", "250 %"]  # fmt: skip


def test_a_narrow_terminal_loses_columns_by_their_rank(capsys: pytest.CaptureFixture[str]) -> None:
    columns = [Column("NAME"), Column("LEAST", rank=2), Column("LESS", right=True, rank=1)]
    for width, titles in (
        (80, ["NAME", "LEAST", "LESS"]),
        (20, ["NAME", "LESS"]),
        (8, ["NAME"]),
        (3, ["NA…"]),
    ):
        print_table(Console(width=width, highlight=False), columns, [["ann", "x" * 20, "12345"]])
        assert capsys.readouterr().out.split("\n")[0].split() == titles


def test_the_log_speaks_of_what_changed() -> None:
    changes = {"limit": {"before": 1, "after": 2}, "expires_ms": {"before": None, "after": 0}}
    assert what({"unit": "tokens", "changes": changes}) == "limit 1 -> 2, expires – -> 1970-01-01T00:00:00Z"
    assert what({"grace_ms": 86_400_000}) == "the old secret is good for 1,440 min more"


def test_every_option_has_help() -> None:
    for name in ("keys", "tokens", "budgets", "audit"):
        command = main.get_command(click.Context(main), name)
        assert command is not None
        commands = command.commands.values() if isinstance(command, click.Group) else [command]
        for one in commands:
            assert one.help
            assert all(option.help for option in one.params if isinstance(option, click.Option))


@pytest.mark.parametrize("width", [30, 50, 80])
def test_a_column_that_wraps_leaves_the_others_whole(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    columns = [Column("WHO"), Column("WHAT", wraps=10), Column("ID", rank=1)]
    words = "limit five team search before after"
    shown = print_table(Console(width=width, highlight=False), columns, [["0123456789", words, "id-of-it"]])
    text = capsys.readouterr().out
    assert ("ID" in shown) == (width >= 10 + 2 + 10 + 2 + 8)
    assert "0123456789" in text
    assert "…" not in text
    assert set(words.split()) <= set(text.split())
    assert max(map(len, text.splitlines())) <= width
