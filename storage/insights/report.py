"""The figures of a report, from the rollups, the verdicts and a sample of calls."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import Final

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.insights.advice import Adviser, idle_keys
from storage.insights.series import by_day
from storage.quality.summary import QualityReader
from storage.rollups.dimensions import Dimension
from storage.rollups.histogram import Histogram
from storage.rollups.measures import OutcomeClass
from storage.rollups.question import Bucket, HistogramName, Question, Sum
from storage.rollups.read import Reader
from storage.rollups.zones import zone_of
from telemetry.insights.anomaly import anomalies
from telemetry.insights.outlook import outlooks
from telemetry.insights.recommend import Facts, recommendations
from telemetry.insights.report.contents import Line, Ranking, Report, Standout, Traffic
from telemetry.insights.report.schedule import Span, before
from telemetry.quality import NOTHING, Measures

TOP: Final = 8
"""Lines of a ranking."""
ADVICE: Final = 8
"""Recommendations."""
ADVICE_DAYS: Final = 30
ODD_DAYS: Final = 90
"""Days that an odd one is compared with."""
HISTORY_DAYS: Final = 400
RANKED: Final = {
    "team": Dimension.TEAM,
    "model": Dimension.MODEL,
    "feature": Dimension.FEATURE,
    "user": Dimension.USER,
}
WATCHED: Final = ("team", "model")
"""Rankings whose lines are searched for odd days."""
_SUMMED: Final = (
    "calls",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cost_nano",
    "estimated_nano",
    "partial_nano",
    "baseline_nano",
    "baseline_cost_nano",
)
_UNKNOWN: Final = ("unpriced_calls", "invalid_calls")
_FAILED: Final = (OutcomeClass.FAILED.value, OutcomeClass.PROVIDER_ERROR.value)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which report: the days ``since`` <= day < ``until`` of ``zone``, of the calls whose columns have these values."""

    span: Span
    since: date
    until: date
    zone: str = "UTC"
    scope: Mapping[str, str] = {}
    users: bool = True
    """Name the users that spent most."""
    keys: Mapping[str, str] | None = None
    """Living gateway keys, names by id; without them nothing is said of idle ones (which takes reading calls)."""

    def moment(self, day: date) -> datetime:
        """When a day begins."""
        return datetime.combine(day, time(), zone_of(self.zone))


class Reporter:
    """Reads through :func:`storage.engine.reading_engine`. Raises SQLAlchemy's errors, ``OSError`` and ``StoreUnavailable``."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._reader = Reader(engine)
        self._quality = QualityReader(engine)

    async def report(self, wanted: Wanted) -> Report:
        """All of it."""
        since, until = wanted.since, wanted.until
        earlier = before(wanted.span, since)
        past = (
            await by_day(
                self._reader,
                until - timedelta(days=HISTORY_DAYS),
                until,
                zone=wanted.zone,
                scope=wanted.scope,
            )
        )["cost_nano"]
        named = {of: by for of, by in RANKED.items() if wanted.users or by is not Dimension.USER}
        rankings = [await self._ranking(wanted, earlier, of, by) for of, by in named.items()]
        days = (until - since).days
        odd = [*_odd("", past[-ODD_DAYS:], wanted)]
        for ranking in rankings:
            if ranking.of in WATCHED:
                odd += await self._odd_lines(wanted, ranking)
        return Report(
            span=wanted.span,
            since=since,
            until=until,
            zone=wanted.zone,
            scope=tuple((name.removesuffix("_id"), value) for name, value in sorted(wanted.scope.items())),
            now=await self._traffic(wanted, since, until),
            before=await self._traffic(wanted, earlier, since),
            days=tuple(past[-days:]),
            rankings=tuple(rankings),
            quality=await self._verdicts(wanted, since, until),
            quality_before=await self._verdicts(wanted, earlier, since),
            standouts=tuple(sorted(odd, key=lambda one: (one.day, one.of))),
            outlooks=tuple(outlooks(past, until)),
            recommendations=tuple(recommendations(await self._facts(wanted))[:ADVICE]),
        )

    async def _traffic(self, wanted: Wanted, since: date, until: date) -> Traffic:
        period = Question(since=wanted.moment(since), until=wanted.moment(until), scope=wanted.scope)
        question = msgspec.structs.replace(
            period,
            group_by=(Dimension.OUTCOME_CLASS,),
            measures=(*_SUMMED, *_UNKNOWN),
            histograms=(HistogramName.DURATION,),
        )
        sums: dict[str, int] = defaultdict(int)
        durations: Counter[int] = Counter()
        for line in (await self._reader.totals(question)).lines:
            for name in _SUMMED:
                sums[name] += line.sums[name]
            sums["unpriced_calls"] += sum(line.sums[name] for name in _UNKNOWN)
            sums["failed"] += line.sums["calls"] if line.key[0] in _FAILED else 0
            durations.update(line.histograms[HistogramName.DURATION].counts)
        half, most = Histogram(durations).percentiles((50, 95))
        people = await self._reader.people(period)
        return Traffic(
            **sums,
            users=sum(one.users for one in people),
            sessions=sum(one.sessions.count for one in people),
            p50_us=half,
            p95_us=most,
        )

    async def _ranking(self, wanted: Wanted, earlier: date, of: str, by: Dimension) -> Ranking:
        now = await self._spent(wanted, by, wanted.since, wanted.until)
        past = await self._spent(wanted, by, earlier, wanted.since)
        order = sorted(now, key=lambda name: (-now[name][1], -now[name][0], name or ""))
        lines = [Line(name, *now[name], past.get(name, (0, 0))[1]) for name in order]
        top, others = lines[:TOP], lines[TOP:]
        if [line.name for line in lines] == [None]:
            return Ranking(of, ())
        if not others:
            return Ranking(of, tuple(top))
        left = sum(cost for _, cost in past.values()) - sum(line.before_nano for line in top)
        rest = Line(None, sum(line.calls for line in others), sum(line.cost_nano for line in others), left)
        return Ranking(of, tuple(top), rest, len(others))

    async def _spent(
        self, wanted: Wanted, by: Dimension, since: date, until: date
    ) -> dict[str | None, tuple[int, int]]:
        """Calls and nano-USD by name."""
        question = Question(
            since=wanted.moment(since),
            until=wanted.moment(until),
            scope=wanted.scope,
            group_by=(by,),
            measures=("calls", "cost_nano"),
        )
        lines = (await self._reader.totals(question)).lines
        return {line.key[0]: (line.sums["calls"], line.sums["cost_nano"]) for line in lines}

    async def _odd_lines(self, wanted: Wanted, ranking: Ranking) -> list[Standout]:
        """Odd days of the teams or models that spent most."""
        begin = wanted.until - timedelta(days=ODD_DAYS)
        question = Question(
            since=wanted.moment(begin),
            until=wanted.moment(wanted.until),
            scope=wanted.scope,
            group_by=(RANKED[ranking.of],),
            bucket=Bucket.DAY,
            zone=wanted.zone,
            measures=("cost_nano",),
        )
        series = _series((await self._reader.totals(question)).lines, begin)
        found: list[Standout] = []
        for line in ranking.lines:
            if line.name is not None and line.name in series:
                found += _odd(f"{ranking.of} {line.name}", series[line.name], wanted)
        return found

    async def _verdicts(self, wanted: Wanted, since: date, until: date) -> Measures:
        rows = await self._quality.summary({}, (), since, until, wanted.scope)
        return sum((row.measures for row in rows), NOTHING)

    async def _facts(self, wanted: Wanted) -> Facts:
        until = wanted.moment(wanted.until)
        facts = await Adviser(self._engine).facts(
            until - timedelta(days=ADVICE_DAYS), until, scope=wanted.scope
        )
        if wanted.keys is None:
            return facts
        return msgspec.structs.replace(facts, keys=await idle_keys(self._engine, wanted.keys, until))


def _series(lines: Sequence[Sum], begin: date) -> dict[str | None, list[int]]:
    found: dict[str | None, list[int]] = defaultdict(lambda: [0] * ODD_DAYS)
    for line in lines:
        assert line.begin is not None
        # An hour that began before and cannot be cut any more is told of the day before the first.
        found[line.key[0]][max(0, (line.begin.date() - begin).days)] += line.sums["cost_nano"]
    return found


def _odd(of: str, days: Sequence[int], wanted: Wanted) -> Iterator[Standout]:
    """Days of the report that stand out among those before; ``days`` end with the report's last one."""
    begin = next((place for place, spent in enumerate(days) if spent), len(days))
    first = wanted.until - timedelta(days=len(days) - begin)
    for one in anomalies(days[begin:]):
        day = first + timedelta(days=one.index)
        if day >= wanted.since:
            yield Standout(day, of, one)
