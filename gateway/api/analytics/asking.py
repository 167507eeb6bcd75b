"""One request for figures: what it may see, which calls it is about, and the sums of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from heapq import nsmallest
from typing import Final, Generic, TypeVar

import msgspec
from aiohttp import web
from multidict import MultiMapping
from pydantic import BaseModel, Field

from gateway.api.analytics.deps import AnalyticsDeps
from gateway.api.analytics.period import Window, window_of
from gateway.api.analytics.query import DIMENSION, NAME, BucketQuery, CutQuery, Filters, Name, PeriodQuery
from gateway.api.parameters import parse_query
from gateway.api.problems import ApiError, bad_value
from gateway.api.viewer import Viewer, viewer_of
from storage.queries.analytics.repriced import Later
from storage.rollups.asked import prepare
from storage.rollups.dimensions import DIMENSIONS, USER_DIMENSIONS, Dimension
from storage.rollups.distinct import Distinct
from storage.rollups.measures import MEASURES
from storage.rollups.plan import FOREVER_MS
from storage.rollups.question import Bucket, HistogramName, People, Question, QuestionError, Source, Totals

MOST_HOURS: Final = 31 * 24
"""Of a series by hour."""
MOST_DAYS_OF_CALLS: Final = 31
"""Longest period of questions that every call of it has to be read for."""
MOST_COMPARED: Final = 500
"""Names a wrong one is compared with by every letter, which takes time: apps may name models as they like."""
MOST_TOLD: Final = 50
"""Allowed values named in an error."""
_HOURLY_UP_TO: Final = 48
_WHOLE_DAYS_FROM: Final = timedelta(days=3)
_ALMOST_A_DAY: Final = timedelta(days=1) - timedelta(milliseconds=1)
Query = TypeVar("Query", bound=Filters)
Timed = TypeVar("Timed", bound=PeriodQuery)


class PeriodOut(BaseModel):
    """What an answer covers."""

    since: str
    until: str
    tz: str
    source: str = Field(
        description="rollups: sums by hour and day; user_days: sums by user and day; calls: every call was read; "
        "verdicts: what was said of calls, by UTC day."
    )


class Asking(Generic[Query]):
    """A request that was understood."""

    def __init__(self, deps: AnalyticsDeps, viewer: Viewer, query: Query, window: Window) -> None:
        self.deps = deps
        self.viewer = viewer
        self.query = query
        self.window = window
        self.where = query.where()

    @property
    def group_by(self) -> tuple[Dimension, ...]:
        """The dimensions asked for."""
        names: Sequence[Name] = self.query.group_by if isinstance(self.query, CutQuery) else ()
        return tuple(DIMENSION[name] for name in names)

    @property
    def bucket(self) -> Bucket:
        """Stretches of the series. Raises :class:`ApiError` where there would be too many."""
        asked = self.query.bucket if isinstance(self.query, BucketQuery) else None
        hours = self.window.length.total_seconds() / 3600
        if asked is None:
            return Bucket.HOUR if hours <= _HOURLY_UP_TO else Bucket.DAY
        if asked is Bucket.HOUR and hours > MOST_HOURS:
            message = f"bucket=hour is for periods of up to {MOST_HOURS // 24} days; take bucket=day."
            raise ApiError(400, "range_too_long", message, param="bucket")
        return asked

    @property
    def milliseconds(self) -> tuple[int, int]:
        """The period in milliseconds since 1970."""
        until = FOREVER_MS if self.window.open_end else int(self.window.until.timestamp() * 1000)
        return int(self.window.since.timestamp() * 1000), until

    def question(
        self,
        measures: Sequence[str],
        *,
        group_by: tuple[Dimension, ...] = (),
        bucket: Bucket | None = None,
        histograms: tuple[HistogramName, ...] = (),
        window: Window | None = None,
    ) -> Question:
        """A question about the calls of this request, in its period or another."""
        window = self.window if window is None else window
        return Question(
            since=window.since,
            until=None if window.open_end else window.until,
            group_by=group_by,
            where=self.where,
            scope=self.viewer.scope,
            bucket=bucket,
            zone=window.zone,
            measures=tuple(name for name in MEASURES if name in measures),
            histograms=histograms,
        )

    async def totals(self, *questions: Question) -> list[Totals]:
        """Answers of one moment. Raises :class:`ApiError` 400 and :class:`storage.store.StoreUnavailable`."""
        try:
            for question in questions:
                self._check_length(question, reads_calls=self.reads_calls(question))
            return await self.deps.figures.totals(questions)
        except QuestionError as error:
            raise ApiError(400, "invalid_parameter", f"{error}.") from error

    async def repriced(self, *questions: Question) -> list[Later]:
        """What later prices change of sums. To be asked after :meth:`totals`, which tells what is wrong with a question.

        Raises :class:`storage.store.StoreUnavailable`.
        """
        return await self.deps.figures.repriced(questions)

    async def people(self) -> People:
        """Different users and sessions. Periods of three days and more are taken as the UTC days they touch.

        (Users are summed by UTC day; parts of days would be read from the calls.) Raises as :meth:`totals`.
        """
        question = self._about_people()
        self._check_length(question, reads_calls=self._reads_calls_for_people(question))
        found = await self.deps.figures.people(question)
        return found[0] if found else People((), None, 0, Distinct(0, True))

    @property
    def counts_people(self) -> bool:
        """Whether :meth:`people` answers: not where the calls of a long period would have to be read."""
        question = self._about_people()
        return not self._reads_calls_for_people(question) or not self._is_long(question)

    def _about_people(self) -> Question:
        return self.question(("calls",), window=self.in_whole_days())

    def _reads_calls_for_people(self, question: Question) -> bool:
        return not prepare(question, self.deps.now()).counts_from_sums

    def in_whole_days(self) -> Window:
        """The period, made longer to whole UTC days where it is three days or more."""
        if self.window.length < _WHOLE_DAYS_FROM:
            return self.window
        return msgspec.structs.replace(
            self.window,
            since=_utc_midnight(self.window.since),
            until=_utc_midnight(self.window.until + _ALMOST_A_DAY),
        )

    def period_out(self, totals: Totals) -> PeriodOut:
        """What an answer covers."""
        return PeriodOut(
            since=stamp(totals.since),
            until=stamp(self.window.until if totals.until is None else totals.until),
            tz=self.window.zone,
            source=totals.source.value,
        )

    def reads_calls(self, question: Question) -> bool:
        """Whether every call of its period has to be read. Raises :class:`QuestionError`."""
        return prepare(question, self.deps.now()).source is Source.CALLS

    def _is_long(self, question: Question) -> bool:
        until = self.window.until if question.until is None else question.until
        return (until - question.since).days > MOST_DAYS_OF_CALLS

    def _check_length(self, question: Question, *, reads_calls: bool) -> None:
        if not reads_calls or not self._is_long(question):
            return
        asked = {*question.group_by, *question.conditions}
        of_users = Dimension.USER in asked and asked <= {*DIMENSIONS, Dimension.USER}
        known = USER_DIMENSIONS if of_users else (*DIMENSIONS, Dimension.USER)
        names = ", ".join(sorted(NAME[dimension].value for dimension in asked - set(known)))
        if of_users:
            names = f"{names} together with users" if names else NAME[Dimension.USER].value
        message = f"{names}: every call is read for this, so the period is at most {MOST_DAYS_OF_CALLS} days."
        raise ApiError(400, "range_too_long", message, param="period")


async def understood(request: web.Request, deps: AnalyticsDeps, model: type[Timed]) -> Asking[Timed]:
    """What a request asks for. Raises :class:`ApiError` 400 naming the parameter."""
    return await asked(request.query, viewer_of(request), deps, model)


async def asked(
    given: MultiMapping[str], viewer: Viewer, deps: AnalyticsDeps, model: type[Timed]
) -> Asking[Timed]:
    """The same for parameters, whoever gives them."""
    query = parse_query(given, model)
    window = window_of(query.period, query.since, query.until, query.tz, deps.now())
    return await checked(Asking(deps, viewer, query, window))


async def checked(asking: Asking[Query]) -> Asking[Query]:
    """The same, unless it names a model nobody called: a typing error more often than not. Raises :class:`ApiError`."""
    wanted, scope = asking.where.get(Dimension.MODEL, ()), asking.viewer.scope
    if not wanted or Dimension.USER.value in scope:
        return asking
    known = await asking.deps.figures.models(scope)
    for model in wanted:
        if model is not None and model not in known:
            raise bad_value("model", model, alike(model, known))
    return asking


def only_by(
    dimensions: Iterable[Dimension], known: Collection[Dimension], what: str, param: str | None
) -> None:
    """Raises :class:`ApiError` 400 naming the first dimension that is not known here.

    ``what`` is the beginning of a sentence; ``param``: the parameter; ``None``: it is called like the dimension.
    """
    for dimension in dimensions:
        if dimension not in known:
            name, allowed = NAME[dimension].value, [NAME[one].value for one in known]
            message = f"{what} {name}. Allowed: {', '.join(allowed)}."
            raise ApiError(400, "invalid_parameter", message, param=param or name, allowed=allowed)


def _utc_midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def alike(value: str, known: Collection[str]) -> list[str]:
    """The known values, all or those that look most like it."""
    if len(known) <= MOST_TOLD:
        return sorted(known)
    near = nsmallest(MOST_COMPARED, known, lambda one: (-_shared(one, value), len(one), one))
    return get_close_matches(value, near, MOST_TOLD, cutoff=0.0)


def _shared(one: str, other: str) -> int:
    """How many letters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (mine, theirs) in pairs if mine != theirs), min(len(one), len(other)))


def stamp(moment: datetime) -> str:
    """A time as it is shown: ISO 8601 with its offset, to the millisecond where it is no whole second."""
    return moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
