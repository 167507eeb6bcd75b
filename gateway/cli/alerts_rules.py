"""``weighbridge alerts rules``, ``channels`` and ``evaluate``: what is watched, who is told, and what would fire."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gateway.alerting.evaluate import stored_rules
from gateway.alerting.plan import look_at
from gateway.api.alert_models import ChannelOut, RuleOut
from gateway.api.alert_rules import AlertRules, channels_of, rules_of
from gateway.api.alerts import AlertsDeps
from gateway.cli.alerts_desk import at_the_desk, plan_from, who_am_i
from gateway.cli.exits import Exit
from gateway.cli.options import config_option, fail
from gateway.cli.screen import console
from gateway.cli.section import Section
from gateway.settings import Problem
from gateway.settings.problem import listed
from storage.address import parse
from storage.alerts.budget_facts import BudgetAccounts
from storage.alerts.database import AlertDatabase
from storage.alerts.facts import StoredFacts
from storage.ledger import SPOOL_FOLDER
from storage.store import StoreUnavailable
from telemetry.alerts.facts import FactsUnavailable
from telemetry.alerts.kinds.registry import KINDS
from telemetry.alerts.verdict import Decision, Subject, Verdict

_COLOURS: Final = {Decision.FIRING: "red", Decision.QUIET: "green", Decision.UNKNOWN: "dim"}


@click.group(cls=Section, invoke_without_command=True)
@config_option
@click.pass_context
def rules(ctx: click.Context, config: Path | None) -> None:
    """List rules; 'add' and 'drop' change those that are not in the settings."""
    if ctx.invoked_subcommand is not None:
        return
    found = at_the_desk(config, rules_of)
    table = _table("RULE", "KIND", "KEYS", "FROM")
    for rule in found:
        source = rule.source if rule.enabled else f"{rule.source}, switched off"
        table.add_row(rule.name, rule.kind, Text(_keys(rule)), Text(f"{source}{_trouble(rule)}"))
    screen = console()
    screen.print(table)
    screen.print()
    screen.print("Kinds: " + ", ".join(f"{name} ({kind.about})" for name, kind in KINDS.items()), style="dim")


def _keys(rule: RuleOut) -> str:
    return " ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in rule.spec.items()
        if name != "kind"
    )


def _trouble(rule: RuleOut) -> str:
    return f": {rule.problem}" if rule.problem else ""


@rules.command()
@click.argument("name")
@click.argument("kind")
@click.argument("keys", nargs=-1, metavar="KEY=VALUE...")
@click.option("--off", is_flag=True, help="Keep it, but do not evaluate it.")
@config_option
def add(name: str, kind: str, keys: tuple[str, ...], off: bool, config: Path | None) -> None:
    """Make the rule NAME of KIND, or change it.

    Keys are those of [[alerts.rule]], values are TOML or plain text: above=0.1 window=15m group_by=team
    channels='["ops", "mail"]' scope.team=search
    """
    spec = {"kind": kind, **_spec(keys)}

    async def put(deps: AlertsDeps) -> bool:
        AlertRules(deps).check_rule(name, spec)
        return await deps.desk.put_rule(name, spec, not off, who_am_i(), datetime.now(UTC))

    new = at_the_desk(config, put)
    click.echo(f"Rule {name} is {'made' if new else 'changed'}: {KINDS[kind].about}.")


@rules.command()
@click.argument("name")
@config_option
def drop(name: str, config: Path | None) -> None:
    """Forget the rule NAME; its alerts end."""
    if not at_the_desk(config, lambda deps: deps.desk.drop_rule(name)):
        fail(f"there is no stored rule {name}", "Rules of the settings are taken out there")
    click.echo(f"Rule {name} is forgotten.")


def _spec(keys: Sequence[str]) -> dict[str, Any]:
    """``scope.team=search`` fills the table ``scope``."""
    spec: dict[str, Any] = {}
    for given in keys:
        key, equals, text = given.partition("=")
        if not key or not equals:
            fail(f"{given} is no KEY=VALUE", "Write it like above=0.1", Exit.USAGE)
        table, dot, inner = key.partition(".")
        if dot:
            spec.setdefault(table, {})[inner] = text
        else:
            spec[key] = _value(text)
    return spec


def _value(text: str) -> Any:
    """As TOML reads it; what TOML does not read is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


@click.command()
@config_option
def channels(config: Path | None) -> None:
    """List channels and whether they take messages."""

    async def find(deps: AlertsDeps) -> tuple[list[ChannelOut], Mapping[str, Problem]]:
        return await channels_of(deps), deps.plan().unread

    found, unread = at_the_desk(config, find)
    screen = console()
    if not found and not unread:
        screen.print("No channels. Add [alerts.channels.NAME] to the settings (docs/alerts.md).")
        return
    table = _table("CHANNEL", "KIND", "SENDS TO", "STATE")
    for one in found:
        gone = f"disabled {one.disabled_at}: its receiver is gone" if one.disabled_at else "ok"
        table.add_row(one.name, one.kind, one.about, Text(gone, style="red" if one.disabled_at else "green"))
    for name, problem in unread.items():
        table.add_row(name, "–", "–", Text(f"can't be used from here: {problem.what}", style="yellow"))
    screen.print(table)


@click.command()
@config_option
def evaluate(config: Path | None) -> None:
    """Show what every rule finds right now. Changes nothing and tells nobody."""
    settings, plan = plan_from(config, look_at)
    storage, now = settings.storage, datetime.now(UTC)

    async def judge(deps: AlertsDeps) -> tuple[list[str], list[tuple[str, Subject, Verdict]]]:
        database = AlertDatabase(parse(storage.url, storage.data_dir))
        facts = StoredFacts(database, storage.data_dir / SPOOL_FOLDER, BudgetAccounts(database))
        found = []
        try:
            every = [*plan.rules, *await stored_rules(deps.desk, plan)]
            for rule in every:
                kind = KINDS[rule.kind]
                for case in await kind.gather(rule, facts, now):
                    found.append((rule.name, case.subject, kind.evaluate(rule, case.fact, now)))
        except FactsUnavailable as error:
            raise StoreUnavailable(str(error)) from error
        finally:
            await database.close()
        judged = {name for name, _, _ in found}
        return [rule.name for rule in every if rule.name not in judged], found

    idle, found = at_the_desk(config, judge)
    screen = console()
    if found:
        _print_verdicts(screen, found)
    if idle:
        screen.print(f"Nothing to judge for {listed(idle)}: no budget, and no calls, of the kind asked for.")


def _print_verdicts(screen: Console, found: Sequence[tuple[str, Subject, Verdict]]) -> None:
    table = _table("RULE", "VERDICT", "REASON", "WHAT")
    for name, _, verdict in found:
        colour = _COLOURS[verdict.decision]
        reason = verdict.reason.value.replace("_", " ")
        table.add_row(name, Text(verdict.decision.value, style=colour), reason, Text(verdict.summary))
    screen.print(table)


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in titles:
        table.add_column(title)
    return table
