"""``GET /api/analytics/users``: who is there, who is new, who comes back, and who spends most."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final

from aiohttp import web
from pydantic import BaseModel, Field

from gateway.api.analytics.asking import PeriodOut, understood
from gateway.api.analytics.deps import AnalyticsDeps
from gateway.api.analytics.figures import (
    COUNTED,
    TOKENS,
    ChangeOut,
    Tally,
    TokenCountsOut,
    TotalOut,
    change_out,
    ppm,
    rounded,
    tally_of,
    tokens_out,
    total_fields,
    total_out,
)
from gateway.api.analytics.groups import cut
from gateway.api.analytics.query import DEFAULT_GROUPS, MOST_GROUPS, PeriodQuery
from gateway.api.analytics.verdicts import utc_days
from gateway.api.problems import json_response
from gateway.api.routes import Endpoint
from storage.queries.analytics.activity import AGES, MONTH, Activity, Cohort, Span
from storage.rollups.dimensions import Dimension

MEASURES: Final = (*COUNTED, *TOKENS)
NOT_BY_USER: Final = "what each user spent is kept by tenant, team and user alone; with user=NAME the calls of that one are read"
_EPOCH: Final = date(1970, 1, 1)


class UsersQuery(PeriodQuery):
    """Which calls, and how many users by name."""

    limit: int = Field(
        default=DEFAULT_GROUPS,
        ge=1,
        le=MOST_GROUPS,
        description="Most users; all others together are 'other'.",
    )


class ActiveOut(BaseModel):
    """Different users by UTC day; all numbers are exact."""

    period: int = Field(description="On any UTC day the period touches.")
    new: int = Field(description="Of those, users never seen before the period.")
    returning: int
    dau: int = Field(description="On the last day; today so far if the period ends now.")
    wau: int = Field(description="On any of the last 7 days.")
    mau: int = Field(description="On any of the last 30 days.")
    mean_dau_thousandths: int = Field(description="Mean of the last 30 days, in thousandths of a user.")
    stickiness_ppm: int | None = Field(
        description="Mean daily users of the last 30 days, of mau; parts per million."
    )


class DayOut(BaseModel):
    """Users of one UTC day."""

    day: str
    active: int
    new: int
    returning: int


class ReturnOut(BaseModel):
    """How many new users were there again so many days after their first."""

    samples: int = Field(description="New users whose day has come.")
    back: int
    ppm: int | None


class CohortOut(BaseModel):
    """Users whose first day it was; null: that day has not come yet."""

    day: str
    users: int
    d1: int | None
    d7: int | None
    d30: int | None


class RetentionOut(BaseModel):
    """Users new within the period who were there again exactly 1, 7 and 30 days after their first day."""

    d1: ReturnOut
    d7: ReturnOut
    d30: ReturnOut
    cohorts: list[CohortOut]


class SpenderOut(TotalOut):
    """One user."""

    tenant: str
    user: str | None = Field(description="null: calls that name no user.")
    share_ppm: int | None = Field(description="Of the total cost, parts per million.")
    tokens: TokenCountsOut


class OtherUsersOut(TotalOut):
    """The users beyond the limit, together."""

    users: int
    tokens: TokenCountsOut


class UsersOut(BaseModel):
    """top and other, where they are told, add up to total."""

    period: PeriodOut
    active: ActiveOut
    days: list[DayOut]
    retention: RetentionOut
    total: TotalOut
    previous: TotalOut | None = Field(description="The period before, as long.")
    change: ChangeOut | None
    top: list[SpenderOut] | None = Field(
        description="null where sums are not kept by user: under filters other than tenant, team and user."
    )
    top_missing: str | None = Field(description="Why top is null.")
    other: OtherUsersOut | None


class Users:
    """Handler over the sums by user."""

    def __init__(self, deps: AnalyticsDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                "/api/analytics/users",
                self.show,
                "Active, new and returning users, and who spends most",
                UsersOut,
                UsersQuery,
                (400, 401, 403, 503),
            ),
        )

    async def show(self, request: web.Request) -> web.Response:
        """The users of a period."""
        asking = await understood(request, self._deps, UsersQuery)
        plain = asking.question(MEASURES)
        question = asking.question(MEASURES, group_by=(Dimension.TENANT, Dimension.USER))
        # By user there are no sums of what the filters ask for: the calls are not read for that alone.
        ranked = asking.reads_calls(plain) or not asking.reads_calls(question)
        questions = [question if ranked else plain]
        if asking.query.compare:
            questions.append(asking.question(COUNTED, window=asking.window.previous()))
        since, until = utc_days(asking)
        span = Span((since - _EPOCH).days, (until - _EPOCH).days - 1)
        (totals, *earlier), found = await asyncio.gather(
            asking.totals(*questions), self._deps.figures.activity(question.conditions, span)
        )
        spent = cut(totals.lines, asking.query.limit)
        previous = tally_of(earlier[0].lines) if earlier else None
        return json_response(
            UsersOut(
                period=asking.period_out(totals),
                active=_active(found, span),
                days=_days(found, span),
                retention=_retention(found, span),
                total=total_out(spent.total),
                previous=None if previous is None else total_out(previous),
                change=None if previous is None else change_out(spent.total, previous),
                top=[_spender(key[0] or "", key[1], tally, spent.total) for key, tally in spent.groups]
                if ranked
                else None,
                top_missing=None if ranked else NOT_BY_USER,
                other=None
                if spent.other is None
                else OtherUsersOut(
                    **total_fields(spent.other), users=spent.other_groups, tokens=tokens_out(spent.other)
                ),
            )
        )


def _active(found: Activity, span: Span) -> ActiveOut:
    new = sum(cohort.users for cohort in found.cohorts)
    daily = sum(users for day, users in found.days.items() if day > span.last - MONTH)
    return ActiveOut(
        period=found.period,
        new=new,
        returning=found.period - new,
        dau=found.last_day,
        wau=found.last_week,
        mau=found.last_month,
        mean_dau_thousandths=rounded(daily * 1000, MONTH) or 0,
        stickiness_ppm=ppm(daily, MONTH * found.last_month),
    )


def _days(found: Activity, span: Span) -> list[DayOut]:
    new = {cohort.day: cohort.users for cohort in found.cohorts}
    return [
        DayOut(
            day=_day(day),
            active=found.days.get(day, 0),
            new=new.get(day, 0),
            returning=found.days.get(day, 0) - new.get(day, 0),
        )
        for day in range(span.first, span.last + 1)
    ]


def _retention(found: Activity, span: Span) -> RetentionOut:
    d1, d7, d30 = (_return(found.cohorts, age, span.last) for age in AGES)
    cohorts = []
    for cohort in found.cohorts:
        back = [cohort.back.get(age, 0) if cohort.day + age <= span.last else None for age in AGES]
        cohorts.append(
            CohortOut(day=_day(cohort.day), users=cohort.users, d1=back[0], d7=back[1], d30=back[2])
        )
    return RetentionOut(d1=d1, d7=d7, d30=d30, cohorts=cohorts)


def _return(cohorts: Iterable[Cohort], age: int, last: int) -> ReturnOut:
    old = [cohort for cohort in cohorts if cohort.day + age <= last]
    samples, back = sum(one.users for one in old), sum(one.back.get(age, 0) for one in old)
    return ReturnOut(samples=samples, back=back, ppm=ppm(back, samples))


def _spender(tenant: str, user: str | None, tally: Tally, total: Tally) -> SpenderOut:
    return SpenderOut(
        **total_fields(tally),
        tenant=tenant,
        user=user,
        share_ppm=ppm(tally["cost_nano"], total["cost_nano"]),
        tokens=tokens_out(tally),
    )


def _day(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()
