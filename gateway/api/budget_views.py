"""From budgets and their accounts to what the API shows, and whose budgets somebody may see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.api.budget_models import AccountOut, BudgetOut, amount_out, said_of
from gateway.api.values import moment_text, share
from gateway.api.viewer import Viewer
from storage.budgets.admin import Held
from storage.budgets.model import EVERY, PPM, Account, Budget, Window
from storage.budgets.subjects import values_of

EARLY: Final = 20
"""In the first of so many parts of a window its end is not guessed at."""


def seen_by(viewer: Viewer, budget: Budget) -> tuple[tuple[str, str], ...] | None:
    """Which accounts of a budget somebody may see: the values they count. ``None``: not even that it is there.

    An account may be seen where every call that draws on it may.
    """
    scope = dict(budget.scope)
    own = {"tenant": viewer.tenant, "team": viewer.team, "user": viewer.user}
    said = {dimension: value for dimension, value in own.items() if value is not None}
    if any(scope.get(dimension) not in (value, EVERY) for dimension, value in said.items()):
        return None
    return tuple((dimension, value) for dimension, value in said.items() if scope[dimension] == EVERY)


def budget_out(budget: Budget, accounts: Sequence[Held], count: int, now_s: int) -> BudgetOut:
    """As the API shows it."""
    return BudgetOut(
        id=budget.id,
        accounts=[account_out(one, now_s) for one in accounts],
        accounts_count=count,
        **said_of(budget),
    )


def account_out(held: Held, now_s: int) -> AccountOut:
    """As the API shows it."""
    account, standing = held.account, held.standing
    budget = account.budget
    total = budget.window is Window.TOTAL
    remaining = max(budget.limit - standing.spent - standing.lent, 0)
    ahead = projected(account, standing.spent, now_s)
    return AccountOut(
        of=values_of(budget, account.subject),
        window=account.window_key,
        window_start=None if total else moment_text(account.start_s * 1000),
        window_end=None if total else moment_text(account.end_s * 1000),
        spent=amount_out(budget, standing.spent),
        reserved=amount_out(budget, standing.lent),
        remaining=amount_out(budget, remaining),
        used=share(standing.spent * PPM // budget.limit) if budget.limit else None,
        projected=None if ahead is None else amount_out(budget, ahead),
        crossed=[share(ppm) for ppm in crossed(budget, standing.spent)],
        calls=standing.calls,
        unpriced=standing.unpriced,
        denied=standing.denied,
    )


def projected(account: Account, spent: int, now_s: int) -> int | None:
    """What will be spent at the window's end if it goes on like this; ``None`` where that is too early to say."""
    if account.budget.window is Window.TOTAL:
        return None
    length, elapsed = account.end_s - account.start_s, now_s - account.start_s
    return None if elapsed * EARLY < length else spent * length // elapsed


def crossed(budget: Budget, spent: int) -> list[int]:
    """Thresholds that are reached, in millionths."""
    return [ppm for ppm in budget.thresholds_ppm if budget.limit and spent * PPM >= budget.limit * ppm]
