"""Records as rows of ``model_requests``, made column by column, because this runs for every call.

A test holds :data:`COLUMNS` against the table and :func:`rows_of` against the records' own fields.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from pricing.cost import Cost
from pricing.usage import NOTHING, Part, Usage
from storage.mend import mend
from telemetry.record import Answer, CallRecord, Route, Timing, Trace, What, Who

DEFAULT_TENANT = "default"
"""Tenant of calls that name none: the column leads every index and is never null."""

WHO_COLUMNS = {
    "team": "team",
    "user": "user_id",
    "project": "project",
    "feature": "feature",
    "session": "session_id",
    "environment": "environment",
    "agent": "agent",
    "parent_agent": "parent_agent",
    "app": "app",
    "key_id": "key_id",
    "prompt_id": "prompt_id",
    "prompt_version": "prompt_version",
}
"""The column of each plain field of :class:`telemetry.record.Who`; the next ones likewise."""
WHAT_COLUMNS = {
    "provider": "provider",
    "wire": "wire",
    "operation": "operation",
    "method": "method",
    "path": "path",
    "model": "request_model",
    "max_tokens": "max_tokens",
    "request_bytes": "request_bytes",
}
ROUTE_COLUMNS = {
    "host": "server_address",
    "attempts": "attempts",
    "attempt_reason": "attempt_reason",
    "policy": "route_policy",
    "reason": "route_reason",
    "confidence_ppm": "route_confidence_ppm",
    "baseline_model": "baseline_model",
    "experiment": "experiment",
    "variant": "variant",
}
TIMING_COLUMNS = {
    "started_ns": "started_ns",
    "duration_us": "duration_us",
    "upstream_us": "upstream_us",
    "first_byte_us": "first_byte_us",
    "first_chunk_us": "first_chunk_us",
    "overhead_us": "overhead_us",
    "dispatch_us": "dispatch_us",
}
ANSWER_COLUMNS = {
    "model": "response_model",
    "response_id": "response_id",
    "service_tier": "service_tier",
    "error_type": "error_type",
    "error_code": "error_code",
    "status": "http_status",
    "response_bytes": "response_bytes",
}
USAGE_COLUMNS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write_5m": "cache_write_5m_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "reasoning": "reasoning_tokens",
    "input_audio": "input_audio_tokens",
    "output_audio": "output_audio_tokens",
    "cache_audio_read": "cache_audio_read_tokens",
    "input_image": "input_image_tokens",
    "cache_image_read": "cache_image_read_tokens",
    "output_image": "output_image_tokens",
    "input_video": "input_video_tokens",
    "output_video": "output_video_tokens",
    "tool_input": "tool_input_tokens",
    "citation": "citation_tokens",
    "billed_input": "billed_input_tokens",
    "billed_output": "billed_output_tokens",
    "web_searches": "web_searches",
    "file_searches": "file_searches",
    "search_units": "search_units",
    "pages": "pages",
    "annotated_pages": "annotated_pages",
    "images": "images",
    "characters": "characters",
    "audio_ms": "audio_ms",
    "largest_input": "largest_input_tokens",
}
COST_COLUMNS = {
    "total": "cost_nano",
    "input": "cost_input_nano",
    "output": "cost_output_nano",
    "cache_read": "cost_cache_read_nano",
    "cache_write": "cost_cache_write_nano",
    "other": "cost_other_nano",
    "snapshot": "price_snapshot",
    "rule": "price_rule",
}
TRACE_COLUMNS = {
    "trace_id_low": "trace_id",
    "server_span_id": "server_span_id",
    "client_span_id": "client_span_id",
    "parent_span_id": "parent_span_id",
    "sampled": "trace_sampled",
    "state": "trace_state",
    "link_trace_id_low": "link_trace_id",
    "link_span_id": "link_span_id",
}

RARE = (
    *("project", "feature", "session_id", "environment", "agent", "parent_agent", "app", "key_id"),
    *("prompt_id", "prompt_version"),
    *("attempt_reason", "route_policy", "route_reason", "route_confidence_ppm"),
    *("baseline_model", "experiment", "variant", "baseline_nano"),
    *("error_type", "error_code"),
    *("cache_write_5m_tokens", "cache_write_1h_tokens"),
    *list(USAGE_COLUMNS.values())[8:],
    *TRACE_COLUMNS.values(),
)
"""Columns that many rows leave empty. They come last, so that a row can be written without those it leaves empty."""


def _common(columns: dict[str, str]) -> dict[str, str]:
    return {field: column for field, column in columns.items() if column not in RARE}


def _rare(columns: dict[str, str]) -> dict[str, str]:
    return {field: column for field, column in columns.items() if column in RARE}


COMMON_COLUMNS: tuple[str, ...] = (
    "id",
    "started_at",
    "tenant_id",
    "outcome",
    "attribute_sources",
    "finish_reasons",
    "usage_source",
    "usage_raw",
    "cost_status",
    "cost_source",
    "fees_unseen",
    "stream",
    *_common(WHO_COLUMNS).values(),
    *_common(WHAT_COLUMNS).values(),
    *_common(ROUTE_COLUMNS).values(),
    *_common(TIMING_COLUMNS).values(),
    *_common(ANSWER_COLUMNS).values(),
    *_common(USAGE_COLUMNS).values(),
    *_common(COST_COLUMNS).values(),
)
COLUMNS: tuple[str, ...] = (
    *COMMON_COLUMNS,
    "tags",
    "usage_also",
    "baseline_nano",
    *_rare(WHO_COLUMNS).values(),
    *_rare(ROUTE_COLUMNS).values(),
    *_rare(ANSWER_COLUMNS).values(),
    *_rare(USAGE_COLUMNS).values(),
    *TRACE_COLUMNS.values(),
)
RARE_COLUMNS = COLUMNS[len(COMMON_COLUMNS) :]

LATER_COLUMNS: tuple[str, ...] = (
    "repriced_nano",
    "repriced_status",
    "repriced_snapshot",
    "repriced_rule",
)
"""Columns that are empty when a row is written and filled by jobs."""

Row = tuple[Any, ...]
Column = tuple[Any, ...]
"""One value for each row."""


class Columns(msgspec.Struct, frozen=True):
    """Rows column by column: so they are made, and told alike, by calls that take all rows at once."""

    rows: int
    values: list[Column | None]
    """In the order of :data:`COLUMNS`; ``None`` for a rare column that no row fills."""


_PARTS: Final[dict[str, tuple[type[msgspec.Struct], dict[str, str]]]] = {
    "who": (Who, WHO_COLUMNS),
    "what": (What, WHAT_COLUMNS),
    "route": (Route, ROUTE_COLUMNS),
    "timing": (Timing, TIMING_COLUMNS),
    "answer": (Answer, ANSWER_COLUMNS),
    "usage": (Usage, USAGE_COLUMNS),
    "cost": (Cost, COST_COLUMNS),
}
_value: Callable[[Any], str] = operator.attrgetter("_value_")
"""Of an enum: takes a quarter of the time of ``value``."""
_LAST_MS = 2**48 - 1
"""Of a UUIDv7."""
_FEW: Final = 16
"""Records that are looked at one by one."""
_ID_LENGTH: Final = 36
TIME_LENGTH: Final = 15
"""Characters of an id that tell its time."""
_NO_ID: Final = "the call id is not a UUIDv7"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_TRACE = (None,) * len(TRACE_COLUMNS)
_json = msgspec.json.Encoder().encode


class Kinds(msgspec.Struct, frozen=True):
    """What a database takes for times, flags and bytes."""

    time: Callable[[int], object]
    """Of milliseconds since 1970 (UTC); raises :class:`RowError` beyond the year 9999."""
    flag: Callable[[bool], object]
    blob: Callable[[bytes], object]


class RowError(ValueError):
    """The record cannot be a row (its id is no UUIDv7, a time is out of range)."""


def started_ms(call_id: str) -> int:
    """Milliseconds since 1970 (UTC) inside a UUIDv7; raises :class:`RowError` for any other text.

    The partition key comes from here and from nowhere else: the same id always lands in the same partition,
    so that the primary key (id, started_at) is unique on the id alone.
    """
    if len(call_id) == _ID_LENGTH:
        ms = _ms_of(call_id[:TIME_LENGTH])
        if ms is not None:
            return ms
    raise RowError(_NO_ID)


@lru_cache(maxsize=1024)
def _ms_of(beginning: str) -> int | None:
    """Asked for more than once for each call, and calls come many to the millisecond."""
    try:
        if beginning[8] == "-" and beginning[14] == "7":
            return int(beginning[:8] + beginning[9:13], 16)
    except ValueError:
        pass
    return None


def ms_of(moment: datetime) -> int:
    """The millisecond since 1970 (UTC) an aware time is in."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def first_id(ms: int) -> str:
    """No call that began in this millisecond since 1970 (UTC) or later has a smaller id: ids begin with the time."""
    text = f"{min(max(ms, 0), _LAST_MS):012x}"
    return f"{text[:8]}-{text[8:]}-0000-0000-000000000000"


@lru_cache(maxsize=1024)
def as_datetime(ms: int) -> datetime:
    """The aware UTC time PostgreSQL takes; raises :class:`RowError` beyond the year 9999."""
    try:
        return datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000)
    except (ValueError, OverflowError, OSError) as error:
        raise RowError("the time within the call id is out of range") from error


@lru_cache(maxsize=1024)
def as_text(ms: int) -> str:
    """The same time as SQLite keeps it: ``2026-11-20 12:00:00.123000`` (UTC), which sorts as text."""
    return f"{_second(ms // 1000)}.{ms % 1000:03d}000"


@lru_cache(maxsize=256)
def _second(seconds: int) -> str:
    """Calls come many to the second."""
    return as_datetime(seconds * 1000).isoformat(" ", "seconds")[:19]


POSTGRES: Final = Kinds(as_datetime, bool, bytes)
SQLITE: Final = Kinds(as_text, int, bytearray)
"""The standard library's driver binds these as they are; what it has to ask takes it four to twelve times as long."""


def rows_of(records: Sequence[CallRecord], kinds: Kinds) -> list[Row]:
    """The rows of a batch, in the order of :data:`COLUMNS`. Raises as :func:`columns_of`."""
    made = columns_of(records, kinds)
    empty = (None,) * made.rows
    return [*zip(*[empty if column is None else column for column in made.values], strict=True)]


def columns_of(records: Sequence[CallRecord], kinds: Kinds) -> Columns:
    """The rows of a batch; records with text no database takes are mended. Raises :class:`RowError`, and ``ValueError`` or
    ``OverflowError`` for what cannot be mended."""
    if not records:
        return Columns(0, [()] * len(COLUMNS))
    try:
        return _columns(records, kinds)
    except RowError:
        raise
    except (ValueError, OverflowError):
        return _columns(_mended(records, kinds), kinds)


def _mended(records: Sequence[CallRecord], kinds: Kinds) -> list[CallRecord]:
    """Records of which some have to be mended; which, halving finds soonest."""
    if len(records) <= _FEW:
        return [record if _is_sound(record) else mend(record) for record in records]
    middle = len(records) // 2
    mended: list[CallRecord] = []
    for half in (records[:middle], records[middle:]):
        try:
            _columns(half, kinds)
            mended += half
        except RowError:
            raise
        except (ValueError, OverflowError):
            mended += _mended(half, kinds)
    return mended


def _is_sound(record: CallRecord) -> bool:
    try:
        _check_all(
            _fields_of(Who, [record.who]),
            _fields_of(What, [record.what]),
            _fields_of(Answer, [record.answer]),
        )
        _json((record.who.sources, _also(record.also)))
    except ValueError:
        return False
    return True


def _fields_of(kind: type[msgspec.Struct], made: Iterable[msgspec.Struct]) -> dict[str, Column]:
    """What some structs of a kind hold, by the name of the field: three calls in C, and no look-up of a name."""
    return dict(zip(kind.__struct_fields__, zip(*map(astuple, made), strict=True), strict=True))


def _columns(records: Sequence[CallRecord], kinds: Kinds) -> Columns:
    """Raises :class:`RowError`, and ``ValueError`` for text that not every database takes (NUL, lone surrogates), so that both
    keep the same."""
    of = _fields_of(CallRecord, records)
    of["usage"] = tuple([NOTHING if usage is None else usage for usage in of["usage"]])
    found: dict[str, Column] = {}
    parts: dict[str, dict[str, Column]] = {}
    for name, (kind, columns) in _PARTS.items():
        fields = parts[name] = _fields_of(kind, of[name])
        found |= {column: fields[field] for field, column in columns.items()}
    who, what, answer, cost = parts["who"], parts["what"], parts["answer"], parts["cost"]
    _check_all(who, what, answer)
    found |= {
        "id": of["id"],
        "started_at": _times(of["id"], kinds),
        "tenant_id": tuple([tenant or DEFAULT_TENANT for tenant in who["tenant"]]),
        "outcome": (*map(_value, of["outcome"]),),
        "attribute_sources": (*map(_sources, who["sources"]),),
        "finish_reasons": (*map(_listed, answer["finish_reasons"]),),
        "usage_source": (*map(_value, of["usage_source"]),),
        "usage_raw": tuple([None if raw is None else kinds.blob(raw) for raw in of["usage_raw"]]),
        "cost_status": (*map(_value, cost["status"]),),
        "cost_source": (*map(_value, cost["source"]),),
        "fees_unseen": (*map(kinds.flag, of["fees_unseen"]),),
        "stream": (*map(kinds.flag, what["stream"]),),
        "baseline_nano": of["baseline_nano"],
    }
    if any(who["tags"]):
        found["tags"] = (*map(_object, who["tags"]),)
    if any(of["also"]):
        found["usage_also"] = tuple([_json(_also(also)).decode() if also else None for also in of["also"]])
    if of["trace"].count(None) < len(records):
        traced = zip(*[_trace(trace, kinds.flag) for trace in of["trace"]], strict=True)
        found |= zip(TRACE_COLUMNS.values(), traced, strict=True)
    rare = [found.get(name) for name in RARE_COLUMNS]
    return Columns(
        len(records),
        [
            *[found[name] for name in COMMON_COLUMNS],
            *[None if column is None or column.count(None) == len(records) else column for column in rare],
        ],
    )


def _times(ids: Column, kinds: Kinds) -> Column:
    """Many of a batch began in the same millisecond: each is worked out once."""
    if set(map(len, ids)) != {_ID_LENGTH}:
        raise RowError(_NO_ID)
    beginnings = [call_id[:TIME_LENGTH] for call_id in ids]
    found = {beginning: _ms_of(beginning) for beginning in set(beginnings)}
    if None in found.values():
        raise RowError(_NO_ID)
    times = {beginning: kinds.time(ms) for beginning, ms in found.items() if ms is not None}
    return (*map(times.__getitem__, beginnings),)


def _check_all(who: dict[str, Column], what: dict[str, Column], answer: dict[str, Column]) -> None:
    """What comes from outside, all at once: one pass costs less than looking at each value."""
    _check("".join(filter(None, chain(
        who["tenant"], *[who[field] for field in WHO_COLUMNS], what["model"], what["path"],
        answer["model"], answer["response_id"], answer["service_tier"], answer["error_type"], answer["error_code"],
        chain.from_iterable(answer["finish_reasons"]), chain.from_iterable(chain.from_iterable(who["tags"])),
    ))))  # fmt: skip


def _check(text: str) -> None:
    if "\0" in text:
        raise ValueError("NUL")
    if not text.isascii():
        text.encode()


def _object(pairs: tuple[tuple[str, str], ...]) -> str | None:
    return _json(dict(pairs)).decode() if pairs else None


_sources = lru_cache(maxsize=256)(_object)
"""The same few all day: where the names came from, not the names."""


@lru_cache(maxsize=256)
def _listed(reasons: tuple[str, ...]) -> str | None:
    """The same few all day, of 64 characters at most."""
    return _json(reasons).decode() if reasons else None


def _also(also: tuple[Part, ...]) -> list[dict[str, object]]:
    return [
        {"model": part.model}
        | ({"service_tier": part.service_tier} if part.service_tier is not None else {})
        | ({"within": True} if part.within else {})
        | {
            name: count
            for name, count in zip(Usage.__struct_fields__, astuple(part.usage), strict=True)
            if count is not None
        }
        for part in also
    ]


def _trace(trace: Trace | None, flag: Callable[[bool], object]) -> Row:
    if trace is None:
        return _NO_TRACE
    parent = trace.parent_span_id
    return (
        f"{trace.trace_id_high:016x}{trace.trace_id_low:016x}",
        f"{trace.server_span_id:016x}",
        f"{trace.client_span_id:016x}",
        f"{parent:016x}" if parent else None,
        flag(trace.sampled),
        trace.state,
        f"{trace.link_trace_id:032x}" if trace.link_trace_id else None,
        f"{trace.link_span_id:016x}" if trace.link_span_id else None,
    )
