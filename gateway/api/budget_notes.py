"""What may not be meant so in a budget: it can be kept as it is, and would hold less than it seems to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.api.budget_models import BudgetOut
from gateway.settings import Problem
from gateway.settings.problem import Severity, did_you_mean, listed
from storage.budgets.model import Mode, Unit, Unpriced
from storage.budgets.unheard import Unheard


def budget_notes(budget: BudgetOut, unheard: Sequence[Unheard]) -> list[Problem]:
    """Warnings, for people who may see the calls of all."""
    return [*map(_of_value, unheard), *_of_unpriced(budget)]


def with_notes(budget: BudgetOut, notes: Sequence[Problem]) -> BudgetOut:
    """The budget as it is told, notes in words."""
    return budget.model_copy(update={"notes": [str(note) for note in notes]})


def _of_value(one: Unheard) -> Problem:
    if one.dimension == "model":
        what = f"no call asks for {one.value}, of the latest {one.calls:,}"
    else:
        what = f"no call says {one.dimension} {one.value}, of the latest {one.calls:,}"
    if one.asked:
        how = f"Budgets go by the name that apps ask for: it answers to {listed(one.asked)}"
    else:
        how = f"{did_you_mean(one.value, one.said)}Until one does, the budget counts nothing"
    return Problem("scope", what, how, Severity.WARNING)


def _of_unpriced(budget: BudgetOut) -> Iterator[Problem]:
    unpriced = sum(account.unpriced for account in budget.accounts)
    if (
        unpriced
        and budget.mode is Mode.HARD
        and budget.unit == Unit.USD.value
        and budget.unpriced is Unpriced.IGNORE
    ):
        calls = "1 call has" if unpriced == 1 else f"{unpriced:,} calls have"
        what = f"{calls} no known price and count{'s' if unpriced == 1 else ''} as nothing: such calls pass above the limit, too"
        how = "Give prices ('weighbridge prices unpriced' lists the models), or set unpriced to block or ceiling"
        yield Problem("unpriced", what, how, Severity.WARNING)
