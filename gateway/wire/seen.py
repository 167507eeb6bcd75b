"""What a reader has seen so far, and how it becomes a ``Reading``."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gateway.wire.contract import Exchanged, Reading
from gateway.wire.counts import Counts
from gateway.wire.shapes import exact_object, text
from pricing.usage import Usage

MOST_RAW = 4096
MOST_FINISHES = 16
_ENCODER = msgspec.json.Encoder(decimal_format="number")

Normal = Callable[[dict[str, object], Counts], Usage]
"""From a usage object as reported to the normal form."""


class Seen:
    """Collects facts of one answer: of each, the last that was not null."""

    __slots__ = (
        "began",
        "error_code",
        "failed",
        "finish",
        "geo",
        "model",
        "raw",
        "response_id",
        "service_tier",
        "speed",
        "usage",
    )

    def __init__(self) -> None:
        self.began = False
        """Something other than an error came: the provider has begun to work."""
        self.failed = False
        self.usage: dict[str, object] | None = None
        self.raw: bytes | None = None
        self.model: str | None = None
        self.response_id: str | None = None
        self.service_tier: str | None = None
        self.speed: str | None = None
        self.geo: str | None = None
        self.error_code: str | None = None
        self.finish: list[str] = []

    def identity(self, model: object, response_id: object) -> None:
        if model:
            self.model = text(model) or self.model
        if response_id:
            self.response_id = text(response_id) or self.response_id

    def finished_with(self, reason: object) -> None:
        """Adds one finish reason; one per choice, at most 16."""
        if reason and len(self.finish) < MOST_FINISHES:
            short = text(reason, 64)
            if short:
                self.finish.append(short)

    def usage_adds(self, raw: msgspec.Raw | bytes) -> dict[str, object] | None:
        """Takes the fields of a usage object that are not null over the earlier ones (counts are cumulative)."""
        found = exact_object(raw)
        if found is None:
            return None
        if self.usage is None:
            self.usage = found
            self.raw = bytes(raw)
        else:
            overlay(self.usage, found)
            self.raw = None
        return found

    def error(self, code: str | None) -> None:
        """An error that came although the HTTP status said success."""
        self.failed = True
        self.error_code = code or self.error_code or "error"

    def raw_usage(self) -> bytes | None:
        """The usage as reported, at most 4 KiB (beyond that without its nested parts)."""
        if self.usage is None:
            return None
        raw = self.raw
        try:
            if raw is None:
                raw = _ENCODER.encode(self.usage)
            if len(raw) > MOST_RAW:
                flat = {name: v for name, v in self.usage.items() if not isinstance(v, dict | list | str)}
                raw = _ENCODER.encode(flat)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        return raw if len(raw) <= MOST_RAW else None

    def reading(self, call: Exchanged, normal: Normal, *, billable: bool = True) -> Reading:
        """The reading of an ordinary answer; see :meth:`with_usage` for answers whose counts come otherwise."""
        counts = Counts()
        usage = normal(self.usage, counts) if self.usage is not None else None
        return self.with_usage(call, usage, counts, billable=billable)

    def with_usage(
        self,
        call: Exchanged,
        usage: Usage | None,
        counts: Counts,
        *,
        billable: bool = True,
        charge: int | None = None,
        also: tuple[tuple[str, Usage], ...] = (),
    ) -> Reading:
        """Checks ``usage`` and leaves it out where the answer may not add to the bill: errors, and whatever was
        not asked for with ``POST``."""
        if call.method != "POST" or call.status >= 400 or (self.failed and not self.began):
            billable = False
        accepted = counts.accept(usage) if usage is not None and billable else None
        return Reading(
            accepted,
            self.raw_usage(),
            counts.invalid,
            billable,
            self.model,
            self.response_id,
            tuple(self.finish),
            self.service_tier,
            self.speed,
            self.geo,
            charge if billable and not counts.invalid else None,
            self.error_code,
            self.failed,
            also if billable and not counts.invalid else (),
        )


def overlay(under: dict[str, object], over: dict[str, object]) -> None:
    """Writes the fields of ``over`` that are not null into ``under``, nested objects likewise."""
    for name, value in over.items():
        if value is None:
            continue
        below = under.get(name)
        if isinstance(value, dict) and isinstance(below, dict):
            overlay(below, value)
        else:
            under[name] = value
