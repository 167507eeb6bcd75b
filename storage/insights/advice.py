"""What recommendations rest on: sums by feature and model, verdicts on them, and a sample of the latest calls.

Sums and verdicts are of all calls. What only calls themselves tell (prompts and sessions that repeat, limits that were
set) is of the latest ones of the period, :data:`SAMPLE` at most, however many there are. Keys are not in the sums: who is idle among
them is found by reading the calls of a month, and only for those who ask (:func:`idle_keys`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import Select, and_, func, select, true
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.insights.series import Where
from storage.quality.summary import Dimension as QualityDimension
from storage.quality.summary import QualityReader
from storage.queries.calls import CALLS
from storage.rollups.dimensions import Dimension
from storage.rollups.from_calls import between, column_of
from storage.rollups.measures import OutcomeClass
from storage.rollups.question import Bucket, Question, Sum
from storage.rollups.read import Reader
from storage.rollups.selects import is_one_of
from storage.rows import ms_of
from telemetry.insights.recommend import IDLE_DAYS, Facts, ModelUse, Unused
from telemetry.outcome import Outcome
from telemetry.quality import Measures

SAMPLE: Final = 10_000
"""Calls of which it is known what only they themselves tell."""
LOOKED_AT: Final = 10 * SAMPLE
"""Calls among which those are looked for: a rare team is not looked for in all there are."""
MOST_VERDICTS: Final = 100_000
"""Features and models, those with most verdicts first."""
SEEN_DAYS: Final = 60
"""Features that made no call for longer are forgotten, not idle."""
KEYS_SEEN_DAYS: Final = 30
_MEASURES: Final = (
    "calls",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cost_nano",
    "cost_input_nano",
    "cost_output_nano",
    "unpriced_calls",
    "invalid_calls",
)
_SUMMED: Final = ("calls", "input_tokens", "output_tokens", "cache_read_tokens", "cost_nano")
_FAILED: Final = (OutcomeClass.FAILED.value, OutcomeClass.PROVIDER_ERROR.value)
_Use = tuple[str | None, str | None]
"""Feature and model."""


class Adviser:
    """Reads through :func:`storage.engine.reading_engine`. Raises SQLAlchemy's errors, ``OSError`` and ``StoreUnavailable``."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reader = Reader(engine)
        self._quality = QualityReader(engine)

    async def facts(
        self,
        since: datetime,
        until: datetime,
        where: Where | None = None,
        scope: Mapping[str, str] | None = None,
    ) -> Facts:
        """Of the calls that began in [since, until) (aware); keys are left out."""
        where, scope = where or {}, scope or {}
        uses = await self._uses(since, until, where, scope)
        for use, judged in (await self._verdicts(since, until, where, scope)).items():
            if use in uses:
                uses[use] |= {"judged": judged.judged, "good": judged.good}
        for use, sampled in (await self._sample(since, until, where, scope)).items():
            if use in uses:
                uses[use] |= sampled
        found = [
            ModelUse(feature=feature, model=model, **fields)
            for (feature, model), fields in sorted(uses.items(), key=str)
            if model is not None
        ]
        idle = await self._idle_features(until, where, scope)
        days = max(1, round((until - since) / timedelta(days=1)))
        return Facts(days=days, models=tuple(found), features=idle)

    async def _uses(
        self, since: datetime, until: datetime, where: Where, scope: Mapping[str, str]
    ) -> dict[_Use, dict[str, Any]]:
        question = Question(
            since=since,
            until=until,
            where=where,
            scope=scope,
            group_by=(Dimension.FEATURE, Dimension.MODEL, Dimension.OUTCOME_CLASS),
            measures=_MEASURES,
        )
        found: dict[_Use, dict[str, Any]] = {}
        for line in (await self._reader.totals(question)).lines:
            feature, model, outcome = line.key
            use = found.setdefault((feature, model), defaultdict(int))
            _add(use, line, failed=outcome in _FAILED)
        return found

    async def _verdicts(
        self, since: datetime, until: datetime, where: Where, scope: Mapping[str, str]
    ) -> dict[_Use, Measures]:
        group = (QualityDimension.FEATURE, QualityDimension.MODEL)
        filters = {QualityDimension(name.value): values for name, values in where.items()}
        first, last = (moment.astimezone(UTC) for moment in (since, until))
        rows = await self._quality.summary(
            filters, group, first.date(), _day_after(last), scope, MOST_VERDICTS
        )
        return {(row.key[0], row.key[1]): row.measures for row in rows}

    async def _sample(
        self, since: datetime, until: datetime, where: Where, scope: Mapping[str, str]
    ) -> dict[_Use, dict[str, Any]]:
        asked = Question(since=since, until=until, where=where, scope=scope)
        async with self._engine.connect() as connection:
            rows = (await connection.execute(_sampled(asked))).all()
        return {
            (row.feature, row.model): {
                "sampled": row.calls,
                "repeated": row.named - row.different,
                "max_tokens": row.least if row.limited == row.calls else None,
                "longest_tokens": row.longest or 0,
            }
            for row in rows
        }

    async def _idle_features(
        self, now: datetime, where: Where, scope: Mapping[str, str]
    ) -> tuple[Unused, ...]:
        question = Question(
            since=now - timedelta(days=SEEN_DAYS),
            until=now,
            where=where,
            scope=scope,
            group_by=(Dimension.FEATURE,),
            bucket=Bucket.DAY,
            measures=("calls", "cost_nano"),
        )
        return _unused((await self._reader.totals(question)).lines, now)


async def idle_keys(engine: AsyncEngine, living: Mapping[str, str], now: datetime) -> tuple[Unused, ...]:
    """Which of the keys (names by id; those made lately left out) made no call lately. Reads a month of calls."""
    question = Question(
        since=now - timedelta(days=KEYS_SEEN_DAYS),
        until=now,
        group_by=(Dimension.KEY,),
        bucket=Bucket.DAY,
        measures=("calls", "cost_nano"),
    )
    lines = (await Reader(engine).totals(question)).lines
    seen = {line.key[0] for line in lines}
    idle = {one.name: one for one in _unused(lines, now)}
    found = [
        msgspec.structs.replace(idle[key], name=name) if key in idle else Unused(name, KEYS_SEEN_DAYS, 0)
        for key, name in living.items()
        if key in idle or key not in seen
    ]
    return tuple(sorted(found, key=lambda one: one.name))


def _add(use: dict[str, Any], line: Sum, *, failed: bool) -> None:
    sums = line.sums
    for name in (*_SUMMED, "cost_input_nano", "cost_output_nano"):
        use[name] += sums[name]
    use["priced_calls"] += sums["calls"] - sums["unpriced_calls"] - sums["invalid_calls"]
    if failed:
        use["failed"] += sums["calls"]
        use["wasted_nano"] += sums["cost_nano"]


def _sampled(period: Question) -> Select[Any]:
    """Completed calls among the latest ones, by feature and model: how many there are, name a prompt or a session,
    name different ones, set a limit; the lowest limit and the longest answer."""
    conditions = {name: is_one_of(column_of(name), values) for name, values in period.conditions.items()}
    # In the order of an index: that of tenants where there is one tenant, else that of ids, which begin with the time.
    tenant = conditions.pop(Dimension.TENANT, None)
    order = CALLS.c.id if tenant is None else CALLS.c.started_at
    assert period.until is not None
    stretch = between(ms_of(period.since), ms_of(period.until))
    looked_at = (
        select(
            CALLS.c.feature,
            column_of(Dimension.MODEL).label("model"),
            CALLS.c.outcome,
            func.coalesce(CALLS.c.prompt_id, CALLS.c.session_id).label("subject"),
            CALLS.c.max_tokens,
            CALLS.c.output_tokens,
            and_(true(), *conditions.values()).label("fits"),
        )
        .where(*stretch, *([] if tenant is None else [tenant]))
        .order_by(order.desc())
        .limit(LOOKED_AT)
        .subquery()
    )
    one = select(looked_at).where(looked_at.c.fits).limit(SAMPLE).subquery().c
    return (
        select(
            one.feature,
            one.model,
            func.count().label("calls"),
            func.count(one.subject).label("named"),
            func.count(one.subject.distinct()).label("different"),
            func.count(one.max_tokens).label("limited"),
            func.min(one.max_tokens).label("least"),
            func.max(one.output_tokens).label("longest"),
        )
        .where(one.outcome == Outcome.COMPLETED.value)
        .group_by(one.feature, one.model)
    )


def _unused(lines: Iterable[Sum], now: datetime) -> tuple[Unused, ...]:
    """Of lines by name and day: those without a call for :data:`telemetry.insights.recommend.IDLE_DAYS`."""
    last: dict[str, datetime] = {}
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for line in lines:
        name, begin = line.key[0], line.begin
        if not name or begin is None:
            continue
        last[name] = max(begin, last.get(name, begin))
        sums[name][0] += line.sums["calls"]
        sums[name][1] += line.sums["cost_nano"]
    # A day counts from its end: the last call may have been its last moment.
    days = {name: (now - begin).days - 1 for name, begin in last.items()}
    return tuple(Unused(name, days[name], *sums[name]) for name in sorted(days) if days[name] >= IDLE_DAYS)


def _day_after(until: datetime) -> Any:
    return (until - timedelta(microseconds=1)).date() + timedelta(days=1)
