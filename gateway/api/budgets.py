"""``/api/budgets``: what may be spent, and how the accounts stand."""

from __future__ import annotations

from typing import Final

from aiohttp import web
from pydantic import Field

from gateway.api.body import fitted, table_of
from gateway.api.budget_models import (
    AccountsOut,
    BudgetChangeIn,
    BudgetGoneOut,
    BudgetIn,
    BudgetOut,
    BudgetsOut,
    said_of,
)
from gateway.api.budget_notes import budget_notes, with_notes
from gateway.api.budget_views import account_out, budget_out, seen_by
from gateway.api.control import ControlDeps, id_in, not_there, place_in, to_cursor
from gateway.api.page import PageQuery, query_of
from gateway.api.problems import ApiError, json_response
from gateway.api.routes import Endpoint
from gateway.api.values import Value
from gateway.api.viewer import viewer_of
from storage.budgets import admin
from storage.budgets.model import DIMENSIONS, EVERY, Budget, new_budget_id
from storage.budgets.subjects import Wanted
from storage.budgets.unheard import unheard

PATH: Final = "/api/budgets"
ONE: Final = "/api/budgets/{id}"
MOST_SPENT: Final = 5
"""Accounts shown of a budget that has many."""
_READING: Final = (400, 401, 403, 404, 503)
_CHANGING: Final = (400, 401, 403, 404, 409, 413, 503)


class AccountsQuery(PageQuery):
    """Which accounts, where the budget has one for each value of a dimension."""

    tenant: Value | None = Field(default=None, description="The account of this tenant.")
    team: Value | None = Field(default=None, description="The account of this team.")
    user: Value | None = Field(default=None, description="The account of this user.")
    project: Value | None = Field(default=None, description="The account of this project.")
    feature: Value | None = Field(default=None, description="The account of this feature.")
    environment: Value | None = Field(default=None, description="The account of this environment.")
    key: Value | None = Field(default=None, description="The account of this gateway key (its id).")
    provider: Value | None = Field(default=None, description="The account of this provider.")
    model: Value | None = Field(default=None, description="The account of this model.")
    session: Value | None = Field(default=None, description="The account of this session.")
    agent: Value | None = Field(default=None, description="The account of this agent.")
    app: Value | None = Field(default=None, description="The account of this app.")


class Budgets:
    """Handlers over the tables of budgets."""

    def __init__(self, deps: ControlDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (*self._reading(), *self._changing())

    def _reading(self) -> tuple[Endpoint, ...]:
        return (
            Endpoint(
                PATH, self.listing, "Budgets and how they stand, by name", BudgetsOut, PageQuery, _READING
            ),
            Endpoint(ONE, self.one, "One budget", BudgetOut, None, _READING),
            Endpoint(
                f"{ONE}/accounts",
                self.accounts,
                "The accounts of a budget, those with most spent first",
                AccountsOut,
                AccountsQuery,
                _READING,
            ),
        )

    def _changing(self) -> tuple[Endpoint, ...]:
        return (
            Endpoint(
                PATH,
                self.create,
                "Make a budget; what was spent in its window so far counts",
                BudgetOut,
                errors=(400, 401, 403, 409, 413, 503),
                method="POST",
                body=BudgetIn,
                status=201,
                admin=True,
            ),
            Endpoint(
                ONE,
                self.change,
                "Change a budget",
                BudgetOut,
                errors=_CHANGING,
                method="PATCH",
                body=BudgetChangeIn,
                admin=True,
            ),
            Endpoint(
                ONE,
                self.delete,
                "End a budget; its accounts go with it",
                BudgetGoneOut,
                errors=(401, 403, 404, 503),
                method="DELETE",
                admin=True,
            ),
        )

    async def listing(self, request: web.Request) -> web.Response:
        """A page of budgets."""
        query = query_of(request, PageQuery)
        deps, viewer = self._deps, viewer_of(request)
        place = place_in(query.cursor)
        budgets = [
            (budget, seen)
            for budget in sorted(await admin.all_budgets(deps.db), key=lambda one: one.name)
            if (seen := seen_by(viewer, budget)) is not None and (place is None or budget.name > place[1])
        ]
        page = [(budget, Wanted(seen, MOST_SPENT)) for budget, seen in budgets[: query.limit]]
        now_s = deps.now_s
        held = await admin.held_by(deps.db, page, now_s)
        items = [
            budget_out(budget, accounts, await admin.count_held(deps.db, budget, now_s, wanted), now_s)
            for (budget, wanted), accounts in zip(page, held, strict=True)
        ]
        more = len(budgets) > len(page)
        return json_response(
            BudgetsOut(items=items, next_cursor=to_cursor(0, items[-1].name) if more else None)
        )

    async def one(self, request: web.Request) -> web.Response:
        """One budget by id."""
        budget, seen = await self._budget(request)
        return json_response(await self._out(budget, seen))

    async def accounts(self, request: web.Request) -> web.Response:
        """A page of accounts."""
        query = query_of(request, AccountsQuery)
        budget, seen = await self._budget(request)
        asked = {name: value for name in DIMENSIONS if (value := getattr(query, name)) is not None}
        each = [dimension for dimension, value in budget.scope if value == EVERY]
        for name in asked:
            if name not in each:
                has = f"It has one for each {', '.join(each)}." if each else "It has one account."
                message = f"{name}: this budget has no account for each {name}. {has}"
                raise ApiError(400, "invalid_parameter", message, param=name, allowed=each)
        if any(asked.get(dimension, value) != value for dimension, value in seen):
            return json_response(AccountsOut(items=[]))
        values = tuple({**asked, **dict(seen)}.items())
        wanted = Wanted(values, query.limit + 1, place_in(query.cursor))
        now_s = self._deps.now_s
        found = await admin.held(self._deps.db, budget, now_s, wanted)
        page = found[: query.limit]
        cursor = None
        if len(found) > len(page):
            cursor = to_cursor(page[-1].standing.spent, page[-1].account.subject)
        return json_response(AccountsOut(items=[account_out(one, now_s) for one in page], next_cursor=cursor))

    async def create(self, request: web.Request) -> web.Response:
        """A new budget."""
        deps = self._deps
        budget = fitted(BudgetIn, await table_of(request), deps.known()).to_budget(new_budget_id())
        try:
            await admin.create(deps.db, budget, viewer_of(request).name, deps.now_s)
        except admin.NameTaken as error:
            raise _taken(error) from error
        return json_response(await self._noted(budget), 201)

    async def change(self, request: web.Request) -> web.Response:
        """Other words for a budget, for the calls to come."""
        given, id_ = await table_of(request), id_in(request, "budget", PATH)
        deps = self._deps

        def edit(budget: Budget) -> Budget:
            known = deps.known().also(value for dimension, value in budget.scope if dimension == "provider")
            return fitted(BudgetIn, {**said_of(budget), **given}, known).to_budget(budget.id)

        try:
            budget = await admin.change(deps.db, id_, edit, viewer_of(request).name, deps.now_s)
        except admin.NoBudget:
            raise not_there("budget", id_, PATH) from None
        except admin.NameTaken as error:
            raise _taken(error) from error
        return json_response(await self._noted(budget))

    async def delete(self, request: web.Request) -> web.Response:
        """The end of a budget."""
        id_ = id_in(request, "budget", PATH)
        if not await admin.delete(self._deps.db, id_, viewer_of(request).name):
            raise not_there("budget", id_, PATH)
        return json_response(BudgetGoneOut(id=id_))

    async def _budget(self, request: web.Request) -> tuple[Budget, tuple[tuple[str, str], ...]]:
        """The budget of the path, and which of its accounts may be seen. Raises :class:`ApiError` 404."""
        id_ = id_in(request, "budget", PATH)
        budget = await admin.budget_of(self._deps.db, id_)
        seen = None if budget is None else seen_by(viewer_of(request), budget)
        if budget is None or seen is None:
            raise not_there("budget", id_, PATH)
        return budget, seen

    async def _noted(self, budget: Budget) -> BudgetOut:
        """For whoever may change it: notes tell what calls of others say."""
        shown = await self._out(budget)
        return with_notes(shown, budget_notes(shown, await unheard(self._deps.db, budget)))

    async def _out(self, budget: Budget, seen: tuple[tuple[str, str], ...] = ()) -> BudgetOut:
        deps, now_s = self._deps, self._deps.now_s
        wanted = Wanted(seen, MOST_SPENT)
        accounts = await admin.held(deps.db, budget, now_s, wanted)
        return budget_out(budget, accounts, await admin.count_held(deps.db, budget, now_s, wanted), now_s)


def _taken(error: admin.NameTaken) -> ApiError:
    message = f"name: {error}. Choose another, or change that one."
    return ApiError(409, "name_taken", message, param="name")
