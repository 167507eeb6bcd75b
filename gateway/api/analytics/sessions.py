"""``GET /api/analytics/sessions``: how many there are, what one is like, and which they were lately."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from aiohttp import web
from pydantic import BaseModel, Field

from gateway.api.analytics.asking import Asking, PeriodOut, understood
from gateway.api.analytics.deps import AnalyticsDeps
from gateway.api.analytics.figures import (
    COUNTED,
    ERRORS,
    TOKENS,
    ChangeOut,
    Tally,
    TokenCountsOut,
    TotalOut,
    change_out,
    tally_of,
    tokens_out,
    total_fields,
    total_out,
)
from gateway.api.analytics.query import PeriodQuery
from gateway.api.models import MoneyOut
from gateway.api.problems import json_response
from gateway.api.routes import Endpoint
from gateway.api.views import moment, money
from storage.queries.analytics.sessions import MOST_LOOKED_AT, Glimpse, Lately, Order, Session
from storage.rollups.question import Bucket

MEASURES: Final = (*COUNTED, *TOKENS, *ERRORS)
MOST_SHOWN: Final = 200


class SessionsQuery(PeriodQuery):
    """Which calls, and which of their sessions by name."""

    order: Order = Field(default=Order.RECENT, description="Which sessions come first.")
    limit: int = Field(default=20, ge=1, le=MOST_SHOWN, description="Most sessions by name.")


class SessionDayOut(BaseModel):
    """Sessions with calls on one UTC day."""

    day: str
    sessions: int
    exact: bool


class MiddleOut(BaseModel):
    """What half, and what nineteen of twenty sessions have at most."""

    p50: int | None
    p95: int | None


class MiddleMoneyOut(BaseModel):
    """The same in money."""

    p50: MoneyOut
    p95: MoneyOut


class LatelyOut(BaseModel):
    """What the newest calls of the period tell; sessions that began before them are known in part."""

    calls: int = Field(
        description=f"Of the newest {MOST_LOOKED_AT:,} calls of the period, those that pass the filters."
    )
    since: str | None = Field(description="When the oldest of them began.")
    sessions: int = Field(description="Different sessions among them: the samples of what follows.")
    calls_per_session: MiddleOut
    cost_per_session: MiddleMoneyOut
    length_us: MiddleOut = Field(
        description="From the first call's beginning to the last one's, microseconds."
    )


class SessionOut(TotalOut):
    """One session: all of its calls within the period."""

    tenant: str
    session: str
    users: list[str]
    models: int = Field(description="How many different ones.")
    first_call_at: str
    last_call_at: str
    length_us: int
    tokens: TokenCountsOut
    errors: int


class SessionsOut(BaseModel):
    """Sessions of a period."""

    period: PeriodOut
    total: TotalOut = Field(description="All calls of the period, also those that name no session.")
    previous: TotalOut | None = Field(description="The period before, as long.")
    change: ChangeOut | None
    sessions: int = Field(
        description="Different sessions; from three days on, of the UTC days the period touches."
    )
    sessions_exact: bool = Field(description="False: an estimate, within a few per cent.")
    days: list[SessionDayOut]
    lately: LatelyOut
    order: Order
    items: list[SessionOut] = Field(description="Of the sessions of the newest calls, those that come first.")


class Sessions:
    """Handler over the sums by user, and the newest calls."""

    def __init__(self, deps: AnalyticsDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                "/api/analytics/sessions",
                self.show,
                "How many sessions there are, what one is like, and which they were lately",
                SessionsOut,
                SessionsQuery,
                (400, 401, 403, 503),
            ),
        )

    async def show(self, request: web.Request) -> web.Response:
        """The sessions of a period."""
        asking = await understood(request, self._deps, SessionsQuery)
        questions = [asking.question(COUNTED)]
        if asking.query.compare:
            questions.append(asking.question(COUNTED, window=asking.window.previous()))
        totals, *earlier = await asking.totals(*questions)
        total, previous = tally_of(totals.lines), tally_of(earlier[0].lines) if earlier else None
        number = (await asking.people()).sessions
        conditions = asking.question(()).conditions
        since, until = asking.milliseconds
        found = await self._deps.figures.lately(conditions, since, until)
        first = sorted(found.sessions, key=_RANK[asking.query.order])[: asking.query.limit]
        items = await self._deps.figures.sessions(
            [one.key for one in first], MEASURES, conditions, since, until
        )
        return json_response(
            SessionsOut(
                period=asking.period_out(totals),
                total=total_out(total),
                previous=None if previous is None else total_out(previous),
                change=None if previous is None else change_out(total, previous),
                sessions=number.count,
                sessions_exact=number.exact,
                days=await _days(asking),
                lately=_lately(found),
                order=asking.query.order,
                items=_items(asking.query.order, items),
            )
        )


_RANK: Final = {
    Order.RECENT: lambda one: (-one.last_ns, one.key),
    Order.COST: lambda one: (-one.cost_nano, one.key),
    Order.CALLS: lambda one: (-one.calls, one.key),
}


async def _days(asking: Asking[SessionsQuery]) -> list[SessionDayOut]:
    window = msgspec.structs.replace(asking.in_whole_days(), zone="UTC")
    found = await asking.deps.figures.people(asking.question(("calls",), bucket=Bucket.DAY, window=window))
    days = {one.begin: one.sessions for one in found if one.begin is not None and one.sessions.count}
    return [
        SessionDayOut(day=begin.date().isoformat(), sessions=days[begin].count, exact=days[begin].exact)
        for begin in sorted(days)
    ]


def _lately(found: Lately) -> LatelyOut:
    sessions = found.sessions
    costs = _middle([one.cost_nano for one in sessions])
    return LatelyOut(
        calls=found.calls,
        since=None if found.since_ns is None else moment(found.since_ns),
        sessions=len(sessions),
        calls_per_session=_middle([one.calls for one in sessions]),
        cost_per_session=MiddleMoneyOut(p50=money(costs.p50), p95=money(costs.p95)),
        length_us=_middle([(one.last_ns - one.first_ns) // 1000 for one in sessions]),
    )


def _middle(values: Sequence[int]) -> MiddleOut:
    """By nearest rank, as all percentiles."""
    ordered = sorted(values)
    p50, p95 = (ordered[-(-len(ordered) * percent // 100) - 1] if ordered else None for percent in (50, 95))
    return MiddleOut(p50=p50, p95=p95)


def _items(order: Order, sessions: Iterable[Session]) -> list[SessionOut]:
    shown = []
    for one in sessions:
        tally = Tally()
        tally.plus(one.sums)
        glimpse = Glimpse(one.key, tally["calls"], tally["cost_nano"], one.first_ns, one.last_ns)
        shown.append((_RANK[order](glimpse), _item(one, tally)))
    return [item for _, item in sorted(shown, key=lambda pair: pair[0])]


def _item(one: Session, tally: Tally) -> SessionOut:
    tenant, session = one.key
    return SessionOut(
        **total_fields(tally),
        tenant=tenant,
        session=session,
        users=one.users,
        models=one.models,
        first_call_at=moment(one.first_ns),
        last_call_at=moment(one.last_ns),
        length_us=(one.last_ns - one.first_ns) // 1000,
        tokens=tokens_out(tally),
        errors=tally.errors,
    )
