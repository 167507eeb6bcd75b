"""Budgets and their accounts on the screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.text import Text

from gateway.api.budget_models import AccountOut, BudgetAmountOut, BudgetOut
from gateway.cli import wording
from gateway.cli.plain_table import Cell, Column, print_table
from storage.budgets.model import EVERY, Mode

COLUMNS = (
    Column("NAME"),
    Column("WHOSE"),
    Column("WINDOW", rank=2),
    Column("LIMIT", right=True),
    Column("SPENT", right=True),
    Column("RESERVED", right=True, rank=4),
    Column("REMAINING", right=True, rank=1),
    Column("USED", right=True),
    Column("PROJECTED", right=True, rank=3),
    Column("MODE"),
)
FULL = 1.0
NEARLY = 0.9
_UNITS = {"usd": "", "tokens": " tokens", "calls": " calls"}


def print_budgets(screen: Console, budgets: Sequence[BudgetOut]) -> None:
    """A line for each account; budgets with an account for each value have a line of their own above them."""
    if not budgets:
        screen.print("No budgets yet. Make one with 'weighbridge budgets create NAME --limit 500'.")
        return
    print_table(screen, COLUMNS, [line for budget in budgets for line in _lines(budget)])
    notes = list(_notes(budgets))
    if notes:
        screen.print()
        screen.print(" · ".join(notes), style="dim")


def _lines(budget: BudgetOut) -> Iterator[list[Cell]]:
    head: list[Cell] = [budget.name, whose(budget), window(budget), limit(budget)]
    each = EVERY in budget.scope.values()
    if each:
        yield [*head, "", "", "", "", "", budget.mode.value]
    for account in budget.accounts:
        begin: list[Cell] = ["", f"  {_of(budget, account)}", "", ""] if each else head
        yield [*begin, *_standing(account), "" if each else budget.mode.value]
    more = budget.accounts_count - len(budget.accounts)
    if more > 0:
        yield ["", Text(f"  {more:,} more", "dim"), *[""] * 8]


def _standing(account: AccountOut) -> list[Cell]:
    style = ""
    used = Text(wording.NOTHING)
    if account.used is not None:
        style = "red" if account.used >= FULL else "yellow" if account.used >= NEARLY else ""
        used = Text(percent(account.used), style)
    return [
        Text(amount(account.spent), style),
        amount(account.reserved),
        amount(account.remaining),
        used,
        _projected(account),
    ]


def _projected(account: AccountOut) -> Text:
    if account.projected is None:
        return Text(wording.NOTHING)
    whole = _number(account.spent) + _number(account.reserved) + _number(account.remaining)
    over = _number(account.projected) > whole
    return Text(amount(account.projected), "yellow" if over else "")


def _notes(budgets: Sequence[BudgetOut]) -> Iterator[str]:
    for budget in budgets:
        unpriced = sum(account.unpriced for account in budget.accounts)
        denied = sum(account.denied for account in budget.accounts)
        would = "would have been " if budget.mode is Mode.SHADOW else ""
        if unpriced:
            yield f"{budget.name}: {unpriced:,} unpriced"
        if denied:
            yield f"{budget.name}: {denied:,} {would}refused"


def print_budget(screen: Console, budget: BudgetOut) -> None:
    """All it says, and its accounts."""
    screen.print(Text(budget.name, "bold"))
    shares = ", ".join(percent(share) for share in budget.thresholds)
    ceiling = budget.ceiling_usd_per_mtok
    lines = {
        "id": budget.id,
        "whose": whose(budget),
        "limit": limit(budget),
        "window": window(budget),
        "mode": budget.mode.value,
        "thresholds": shares or "none",
        "unpriced calls": budget.unpriced.value + (f" at ${ceiling} per million tokens" if ceiling else ""),
        "assumed output": f"{budget.assumed_output_tokens:,} tokens",
    }
    for name, value in lines.items():
        screen.print(Text.assemble((f"  {name + ':':<16}", "dim"), value))
    screen.print()
    counts = [Column(title, right=True) for title in ("CALLS", "UNPRICED", "DENIED")]
    columns = [Column("ACCOUNT"), *COLUMNS[4:9], *counts]
    rows: list[list[Cell]] = [
        [
            _of(budget, one),
            *_standing(one),
            *(wording.count(n) for n in (one.calls, one.unpriced, one.denied)),
        ]
        for one in budget.accounts
    ]
    print_table(screen, columns, rows)
    more = budget.accounts_count - len(budget.accounts)
    if more > 0:
        screen.print(f"{more:,} more with --accounts", style="dim")


def whose(budget: BudgetOut) -> str:
    """``team search, each user``."""
    parts = [f"each {name}" if value == EVERY else f"{name} {value}" for name, value in budget.scope.items()]
    return ", ".join(parts) or "everything"


def window(budget: BudgetOut) -> str:
    """``week from sunday (Europe/Berlin)``."""
    text = budget.window.value
    if budget.window.value == "week" and budget.week_start != "monday":
        text += f" from {budget.week_start}"
    return text if budget.timezone == "UTC" else f"{text} ({budget.timezone})"


def limit(budget: BudgetOut) -> str:
    """Exact, as it was given."""
    if budget.unit != "usd":
        return f"{int(budget.limit):,}{_UNITS[budget.unit]}"
    whole, _, decimals = budget.limit.partition(".")
    return f"${int(whole):,}.{decimals.ljust(2, '0')}"


def amount(one: BudgetAmountOut) -> str:
    """``$12.50``, or a count."""
    return wording.count(one.count) if one.nano_usd is None else wording.money(one.nano_usd)


def percent(share: float) -> str:
    """``62 %``; never 100 below it."""
    return f"{int(share * 100 + 1e-9)} %"


def _of(budget: BudgetOut, account: AccountOut) -> str:
    each = [name for name, value in budget.scope.items() if value == EVERY]
    return ", ".join(f"{name} {account.of[name]}" for name in each) or whose(budget)


def _number(one: BudgetAmountOut) -> int:
    return (one.count if one.nano_usd is None else one.nano_usd) or 0
