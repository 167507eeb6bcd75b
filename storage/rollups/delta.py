"""What a batch of calls adds to the rollups, folded in the writer's thread into as few lines as there are groups.

This runs for every call. Calls are told apart here by a little more than the rollups do (their outcome, their status,
whether they stream, how their cost is known), so that most measures follow from how many there are.
"""

from __future__ import annotations

import operator
from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from pricing.cost import CostStatus
from pricing.usage import Usage
from storage.mend import storable
from storage.rollups.dimensions import Group
from storage.rollups.histogram import EDGES
from storage.rollups.measures import (
    CLASS_OF,
    COST_FIELDS,
    MAX_RATE_TOKENS,
    MEASURES,
    PLACE,
    TOKEN_FIELDS,
    USER_MEASURES,
    error_kind,
)
from storage.rollups.routes import RouteLine, Routes, cleaned, is_routed
from storage.rows import DEFAULT_TENANT, TIME_LENGTH, started_ms
from telemetry.outcome import Outcome
from telemetry.record import CallRecord, UsageSource

FORMAT: Final = 1
HOUR_MS: Final = 3_600_000
MILLI_PER_S: Final = 1_000_000_000
"""Thousandths of a token a second, from tokens and microseconds."""


class GroupLine(msgspec.Struct, array_like=True, gc=False):
    """What calls of one hour and one group add up to."""

    hour: int
    """Hours since 1970, UTC."""
    group: Group
    sums: list[int]
    """In the order of ``MEASURES``."""
    durations: list[int]
    """Histogram buckets, one for each call; the next two likewise, where there is something to tell."""
    ttfts: list[int]
    rates: list[int]


class UserLine(msgspec.Struct, array_like=True, gc=False):
    """What one user's calls of one day add up to."""

    day: int
    """Days since 1970, UTC."""
    tenant: str
    team: str
    """Empty where none was named; the next one likewise."""
    user: str
    sums: list[int]
    """In the order of ``USER_MEASURES``."""
    sessions: list[str]
    groups: list[tuple[int, list[int]]] = []
    """Which of the delta's groups the calls are of, each with the places of its sessions in ``sessions``. Empty in deltas
    from before this was noted."""


class Delta(msgspec.Struct, array_like=True):
    """What one batch adds."""

    format: int
    groups: list[GroupLine]
    users: list[UserLine]
    routes: list[RouteLine] = []


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Delta)
_COMMON: Final = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "reasoning")
_RARE: Final = tuple(name for name in TOKEN_FIELDS if name not in _COMMON)
_rare: Callable[[tuple[int | None, ...]], tuple[int | None, ...]] = operator.itemgetter(
    *[Usage.__struct_fields__.index(name) for name in _RARE]
)
_RARE_PLACES: Final = tuple(PLACE[TOKEN_FIELDS[name]] for name in _RARE)
_CALLS, _STREAMS, _HITS = PLACE["calls"], PLACE["streams"], PLACE["cache_hits"]
_INPUT, _OUTPUT, _READ, _WRITE, _REASONING = (
    PLACE[f"{name}_tokens"] for name in ("input", "output", "cache_read", "cache_write", "reasoning")
)
_COST, _COST_INPUT, _COST_OUTPUT, _COST_READ, _COST_WRITE, _COST_OTHER = (
    PLACE[COST_FIELDS[name]] for name in ("total", "input", "output", "cache_read", "cache_write", "other")
)
_BASELINE_CALLS, _BASELINE, _BASELINE_COST = (
    PLACE[name] for name in ("baseline_calls", "baseline_nano", "baseline_cost_nano")
)
_DURATION, _OVERHEAD = PLACE["duration_us"], PLACE["overhead_us"]
_TTFTS, _TTFT = PLACE["ttft_calls"], PLACE["ttft_us"]
_RATE_TOKENS, _RATE_US = PLACE["rate_tokens"], PLACE["rate_us"]
_COMPLETED, _PROVIDER = Outcome.COMPLETED, UsageSource.PROVIDER
_DOUBT: Final = {
    CostStatus.ESTIMATED: ("estimated_calls", "estimated_nano"),
    CostStatus.PARTIAL: ("partial_calls", "partial_nano"),
    CostStatus.UNPRICED: ("unpriced_calls", None),
    CostStatus.INVALID_USAGE: ("invalid_calls", None),
}
"""The measures that count the calls of a status and their cost."""
_USER_PLACE: Final = {name: place for place, name in enumerate(USER_MEASURES)}
_USER_CALLS, _USER_COST = _USER_PLACE["calls"], _USER_PLACE["cost_nano"]
_NO_DOUBT: Final = [0] * (len(USER_MEASURES) - _USER_COST - 1)


class _Group:
    """Calls alike in everything but their numbers."""

    __slots__ = ("durations", "number", "rates", "sums", "ttfts")

    def __init__(self, number: int) -> None:
        self.number = number
        """Its place in the delta."""
        self.sums = [0] * len(MEASURES)
        self.durations: list[int] = []
        self.ttfts: list[int] = []
        self.rates: list[int] = []


class _User:
    """Calls of one user whose cost is known equally well."""

    __slots__ = ("groups", "sums")

    def __init__(self) -> None:
        self.sums = [0, 0, 0, 0, 0, 0, 0]
        """As ``USER_MEASURES`` begins; the rest follows from these and from how well the cost is known."""
        self.groups: dict[int, set[str | None]] = {}
        """The sessions (``None``, and empty: no session) by the group's number."""


def delta_of(records: Iterable[CallRecord]) -> Delta:
    """What these records add; each of them is a row that was really inserted."""
    groups: dict[tuple[Any, ...], _Group] = {}
    users: dict[tuple[Any, ...], _User] = {}
    routes = Routes()
    hours: dict[str, int] = {}
    for record in records:
        who, what, route, answer, cost = record.who, record.what, record.route, record.answer, record.cost
        hour = hours.get(beginning := record.id[:TIME_LENGTH])  # calls come many to the millisecond
        if hour is None:
            hour = hours[beginning] = started_ms(record.id) // HOUR_MS
        alike = (
            hour, who.tenant, who.team, who.project, who.feature, who.environment, what.provider,
            answer.model or what.model, route.policy, route.experiment, route.variant,
            record.outcome, answer.status, what.stream, cost.status,
        )  # fmt: skip
        group = groups.get(alike)
        if group is None:
            group = groups[alike] = _Group(len(groups))
        _add(group, record)
        theirs = (hour // 24, who.tenant, who.team, who.user, cost.status)
        user = users.get(theirs)
        if user is None:
            user = users[theirs] = _User()
        _add_to_user(user, record, group.number)
        if is_routed(record):
            routes.add(record, hour // 24, alike[1:12])
    return Delta(
        FORMAT,
        [_group_line(alike, group) for alike, group in groups.items()],
        [_user_line(theirs, user) for theirs, user in users.items()],
        [
            RouteLine(day, _group(alike), cleaned(reason), band, sums)
            for (day, alike, reason, band), sums in routes
        ],
    )


def _add(group: _Group, record: CallRecord) -> None:
    usage, cost, sums = record.usage, record.cost, group.sums
    if usage is not None:
        sums[_INPUT] += usage.input or 0
        sums[_OUTPUT] += usage.output or 0
        if usage.cache_read:
            sums[_HITS] += 1
            sums[_READ] += usage.cache_read
        if usage.cache_write_5m:
            sums[_WRITE] += usage.cache_write_5m
        if usage.cache_write_1h:
            sums[_WRITE] += usage.cache_write_1h
        if usage.reasoning:
            sums[_REASONING] += usage.reasoning
        rare = _rare(astuple(usage))
        if any(rare):
            for place, count in zip(_RARE_PLACES, rare, strict=True):
                sums[place] += count or 0
    total = cost.total
    if total:
        sums[_COST] += total
        sums[_COST_INPUT] += cost.input or 0
        sums[_COST_OUTPUT] += cost.output or 0
        if cost.cache_read:
            sums[_COST_READ] += cost.cache_read
        if cost.cache_write:
            sums[_COST_WRITE] += cost.cache_write
        if cost.other:
            sums[_COST_OTHER] += cost.other
    if record.baseline_nano is not None and total is not None:
        sums[_BASELINE_CALLS] += 1
        sums[_BASELINE] += record.baseline_nano
        sums[_BASELINE_COST] += total
    _add_times(group, record, 0 if usage is None else usage.output or 0)


def _add_times(group: _Group, record: CallRecord, output: int) -> None:
    timing, sums = record.timing, group.sums
    duration, first = timing.duration_us, timing.first_chunk_us
    sums[_DURATION] += duration
    sums[_OVERHEAD] += timing.overhead_us
    group.durations.append(bisect_left(EDGES, duration))
    if first is None or not record.what.stream:
        return
    sums[_TTFT] += first
    group.ttfts.append(bisect_left(EDGES, first))
    rest = duration - first
    if (
        rest > 0
        and 0 < output <= MAX_RATE_TOKENS
        and record.outcome is _COMPLETED
        and record.usage_source is _PROVIDER
    ):
        sums[_RATE_TOKENS] += output
        sums[_RATE_US] += rest
        group.rates.append(bisect_left(EDGES, output * MILLI_PER_S // rest))


def _add_to_user(user: _User, record: CallRecord, group: int) -> None:
    usage, sums = record.usage, user.sums
    sums[0] += 1
    if usage is not None:
        sums[1] += usage.input or 0
        sums[2] += usage.output or 0
        if usage.cache_read:
            sums[3] += usage.cache_read
        if usage.cache_write_5m:
            sums[4] += usage.cache_write_5m
        if usage.cache_write_1h:
            sums[4] += usage.cache_write_1h
        if usage.reasoning:
            sums[5] += usage.reasoning
    sums[6] += record.cost.total or 0
    sessions = user.groups.get(group)
    if sessions is None:
        user.groups[group] = {record.who.session}
    else:
        sessions.add(record.who.session)


def _group_line(alike: tuple[Any, ...], group: _Group) -> GroupLine:
    outcome, status, stream, priced = alike[11:]
    sums, calls = group.sums, len(group.durations)
    sums[_CALLS] = calls
    sums[_STREAMS] = calls if stream else 0
    sums[_TTFTS] = len(group.ttfts)
    kind = error_kind(outcome, status)
    if kind is not None:
        sums[PLACE[kind]] = calls
    doubt = _DOUBT.get(priced)
    if doubt is not None:
        count, cost = doubt
        sums[PLACE[count]] = calls
        if cost is not None:
            sums[PLACE[cost]] = sums[_COST]
    return GroupLine(alike[0], _group(alike[1:12]), sums, group.durations, group.ttfts, group.rates)


def _group(told: tuple[Any, ...]) -> Group:
    tenant, *rest, outcome = told
    return _clean((tenant or DEFAULT_TENANT, *rest, CLASS_OF[outcome].value))


def _user_line(theirs: tuple[Any, ...], user: _User) -> UserLine:
    day, tenant, team, name, priced = theirs
    ids = [*{session for sessions in user.groups.values() for session in sessions if session}]
    place = {session: number for number, session in enumerate(ids)}
    groups = [
        (group, [place[session] for session in sessions if session])
        for group, sessions in user.groups.items()
    ]
    tenant, team, name, *cleaned_ids = _clean((tenant or DEFAULT_TENANT, team or "", name or "", *ids))
    sums = user.sums + _NO_DOUBT
    doubt = _DOUBT.get(priced)
    if doubt is not None:
        count, cost = doubt
        sums[_USER_PLACE[count]] = sums[_USER_CALLS]
        if cost is not None:
            sums[_USER_PLACE[cost]] = sums[_USER_COST]
    return UserLine(day, tenant, team, name, sums, cleaned_ids, groups)


def _clean(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Text as the row has it: what no database takes was replaced there too."""
    text = "".join(filter(None, values))
    if text.isascii() and "\0" not in text:
        return values
    return tuple(value and storable(value) for value in values)


def encoded(delta: Delta) -> bytes:
    """As stored. Raises ``OverflowError`` for sums beyond 64 bits."""
    return _encode(delta)


def decoded(payload: bytes) -> Delta:
    """Inverse of :func:`encoded`; raises ``msgspec.MsgspecError``.

    A delta from before there was some measure counts nothing of it.
    """
    delta = _decoder.decode(payload)
    if delta.format != FORMAT:
        raise msgspec.ValidationError(f"a delta of format {delta.format}; this version knows {FORMAT}")
    for group in delta.groups:
        group.sums += [0] * (len(MEASURES) - len(group.sums))
    for user in delta.users:
        user.sums += [0] * (len(USER_MEASURES) - len(user.sums))
    return delta
