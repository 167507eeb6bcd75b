"""See, make, change and end budgets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from gateway.api.budget_models import BudgetIn, BudgetOut, said_of
from gateway.api.budget_notes import budget_notes, with_notes
from gateway.api.budget_views import budget_out
from gateway.api.fit import Known, Unfit, fit
from gateway.cli.budget_table import amount, limit, print_budget, print_budgets, whose, window
from gateway.cli.control_database import actor, known_of, refuse, work
from gateway.cli.options import config_option, fail, passed_on, settings_from, show_problem
from gateway.cli.screen import console
from gateway.cli.section import Section
from gateway.settings import Problem
from gateway.settings.problem import did_you_mean
from storage.budgets import admin
from storage.budgets.model import EVERY, Budget, Window, new_budget_id
from storage.budgets.subjects import Wanted
from storage.budgets.unheard import unheard
from storage.control import ControlDatabase

F = TypeVar("F", bound=Callable[..., object])
Noted = tuple[BudgetOut, list[Problem]]
"""A budget, and what may not be meant so."""
MOST_SPENT: Final = 5
"""Accounts shown in the list of a budget that has many."""
OPTIONS: Final = {
    "name": "NAME",
    "thresholds": "--threshold",
    "ceiling_usd_per_mtok": "--ceiling",
    "assumed_output_tokens": "--assumed-output",
}
"""Field -> how it is typed, where that is not its name."""


SAID: Final[tuple[tuple[str, str, str], ...]] = (
    ("--unit", "X", "usd, tokens or calls."),
    ("--window", "X", "minute, hour, day, week, month or total."),
    ("--timezone", "X", "Where days, weeks and months begin: Europe/Berlin."),
    ("--week-start", "DAY", "First day of a week."),
    ("--mode", "X", "watch, soft, hard or shadow."),
    ("--unpriced", "X", "What a call without a price counts as: ignore, block or ceiling."),
    ("--ceiling", "USD", "USD for a million tokens without a price."),
    ("--assumed-output", "N", "Output tokens reserved for a call that sets no limit."),
)
MANY: Final = (
    ("--scope", "DIMENSION=VALUE", "Which calls: team=search; repeatable. None: every call."),
    ("--per", "DIMENSION", "An account for each value: user; repeatable."),
    ("--threshold", "SHARE", "Share of the limit that is told: 50% or 0.5; repeatable."),
)


def _said(function: F) -> F:
    """The options that say what a budget is."""
    fields = {option: field for field, option in OPTIONS.items()}

    def named(option: str) -> str:
        return fields.get(option, option.removeprefix("--").replace("-", "_"))

    options = [
        *(click.option(option, named(option), metavar=metavar, help=text) for option, metavar, text in SAID),
        *(
            click.option(option, named(option), metavar=metavar, multiple=True, help=text)
            for option, metavar, text in MANY
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


@click.group(cls=Section, invoke_without_command=True)
@config_option
@click.pass_context
def budgets(ctx: click.Context, config: Path | None) -> None:
    """See, make, change and end budgets; without a command, list them and how they stand.

    Works on the database of the settings, also while no gateway runs. A running gateway takes a change over within
    about a second.
    """
    passed_on(ctx, config, listing)


@budgets.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line.")
def listing(config: Path | None, as_json: bool) -> None:
    """List budgets and how they stand, by name."""

    async def read(db: ControlDatabase) -> list[BudgetOut]:
        return await _shown(db, await admin.all_budgets(db), MOST_SPENT)

    found = work(settings_from(config), read)
    if as_json:
        for budget in found:
            click.echo(budget.model_dump_json())
        return
    print_budgets(console(), found)


@budgets.command()
@click.argument("budget")
@click.option(
    "--accounts", type=click.IntRange(1, 1000), default=20, show_default=True, help="Most accounts."
)
@config_option
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def show(budget: str, accounts: int, config: Path | None, as_json: bool) -> None:
    """Show what BUDGET (its name or id) says, and its accounts with most spent."""

    async def read(db: ControlDatabase) -> Noted:
        return await _noted(db, await _find(db, budget), accounts)

    found, notes = work(settings_from(config), read)
    if as_json:
        click.echo(with_notes(found, notes).model_dump_json())
        return
    print_budget(console(), found)
    for note in notes:
        show_problem(note)


@budgets.command()
@click.argument("name")
@click.option("--limit", required=True, metavar="N", help="USD such as 500.00; or tokens or calls.")
@_said
@config_option
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def create(name: str, config: Path | None, as_json: bool, **said: Any) -> None:
    """Make a budget called NAME.

    \b
    weighbridge budgets create search --limit 500 --scope team=search --mode hard

    What was spent in its window so far counts. Without options: USD, a month of UTC, every call, mode watch.
    """
    settings = settings_from(config)
    budget = _fit(known_of(settings), {"name": name, **_given(said)}).to_budget(new_budget_id())

    async def make(db: ControlDatabase) -> Noted:
        try:
            await admin.create(db, budget, actor(), admin.now())
        except admin.NameTaken as error:
            fail(str(error), f"Choose another name, or 'weighbridge budgets update {name}'")
        return await _noted(db, budget)

    _made(work(settings, make, makes=True), "is made", as_json)


@budgets.command()
@click.argument("budget")
@click.option("--name", metavar="X", help="Another name.")
@click.option("--limit", metavar="N", help="USD such as 500.00; or tokens or calls.")
@_said
@click.option("--everything", is_flag=True, help="Every call: no scope any more.")
@config_option
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def update(budget: str, everything: bool, config: Path | None, as_json: bool, **said: Any) -> None:
    """Change BUDGET (its name or id); what is not named stays, a scope and thresholds are replaced as a whole.

    What was spent is kept; a change of unit, window or scope counts the current window anew from the calls.
    """
    settings = settings_from(config)
    given = _given(said) | ({"scope": {}} if everything else {})
    if not given:
        fail("nothing is to change", "'weighbridge budgets update --help' lists what can be")
    known = known_of(settings)

    async def change(db: ControlDatabase) -> Noted:
        before = await _find(db, budget)

        def edit(one: Budget) -> Budget:
            allowed = known.also(value for dimension, value in one.scope if dimension == "provider")
            return _fit(allowed, {**said_of(one), **given}).to_budget(one.id)

        try:
            after = await admin.change(db, before.id, edit, actor(), admin.now())
        except admin.BudgetError as error:
            fail(str(error), "'weighbridge budgets' lists what there is")
        return await _noted(db, after)

    _made(work(settings, change), "is changed", as_json)


@budgets.command()
@click.argument("budget")
@config_option
def delete(budget: str, config: Path | None) -> None:
    """End BUDGET (its name or id). Calls keep what they cost; only the account of it is gone."""

    async def end(db: ControlDatabase) -> Budget:
        found = await _find(db, budget)
        await admin.delete(db, found.id, actor())
        return found

    gone = work(settings_from(config), end)
    click.echo(f"Budget {gone.name!r} ({gone.id}) is no more.")


@budgets.command()
@click.argument("budget", required=False)
@config_option
def rebuild(budget: str | None, config: Path | None) -> None:
    """Count what was spent in the current window anew, from the calls that are kept: of BUDGET, or of all."""
    screen = console()

    async def count(db: ControlDatabase) -> list[tuple[BudgetOut, BudgetOut]]:
        chosen = [await _find(db, budget)] if budget is not None else await admin.all_budgets(db)
        found = []
        for one in chosen:
            before = (await _shown(db, [one], 1))[0]
            await admin.rebuild(db, one, admin.now(), actor())
            found.append((before, (await _shown(db, [one], 1))[0]))
        return found

    found = work(settings_from(config), count)
    for before, after in found:
        screen.print(f"{after.name}: {_sum(before)} -> {_sum(after)}")
    if not found:
        screen.print("No budgets yet.")


def _sum(budget: BudgetOut) -> str:
    if EVERY in budget.scope.values():
        most = f", at most {amount(budget.accounts[0].spent)}" if budget.accounts else ""
        return f"{budget.accounts_count:,} account{'' if budget.accounts_count == 1 else 's'}{most}"
    return f"{amount(budget.accounts[0].spent)} spent"


async def _noted(db: ControlDatabase, budget: Budget, most: int = MOST_SPENT) -> Noted:
    shown = (await _shown(db, [budget], most))[0]
    return shown, budget_notes(shown, await unheard(db, budget))


def _made(noted: Noted, what: str, as_json: bool) -> None:
    budget, notes = noted
    if as_json:
        click.echo(with_notes(budget, notes).model_dump_json())
        return
    span = "in all" if budget.window is Window.TOTAL else f"per {window(budget)}"
    click.echo(
        f"Budget {budget.name!r} ({budget.id}) {what}: {limit(budget)} {span} for {whose(budget)},"
        f" mode {budget.mode.value}; so far {_sum(budget)}."
    )
    for note in notes:
        show_problem(note)


async def _shown(db: ControlDatabase, chosen: Sequence[Budget], most: int) -> list[BudgetOut]:
    now_s, wanted = admin.now(), Wanted((), most)
    held = await admin.held_by(db, [(budget, wanted) for budget in chosen], now_s)
    return [
        budget_out(budget, accounts, await admin.count_held(db, budget, now_s), now_s)
        for budget, accounts in zip(chosen, held, strict=True)
    ]


async def _find(db: ControlDatabase, named: str) -> Budget:
    """The budget of that id or name; ends the process where there is none."""
    every = await admin.all_budgets(db)
    found = next((one for one in every if named in (one.id, one.name)), None)
    if found is None:
        hint = did_you_mean(named, [one.name for one in every])
        fail(f"there is no budget {named!r}", f"{hint}'weighbridge budgets' lists what there is")
    return found


def _given(said: dict[str, Any]) -> dict[str, Any]:
    """What was typed."""
    scope, per = said.pop("scope"), said.pop("per")
    given = {name: value for name, value in said.items() if value is not None and value != ()}
    if scope or per:
        pairs = [text.partition("=") for text in scope]
        given["scope"] = [*((name, value) for name, _, value in pairs), *((name, EVERY) for name in per)]
    return given


def _fit(known: Known, given: dict[str, Any]) -> BudgetIn:
    try:
        return fit(BudgetIn, given, known)
    except Unfit as error:
        refuse(error, OPTIONS)


COMMAND: Final = budgets
