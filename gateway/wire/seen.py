"""What a reader has seen so far, and how it becomes a ``Reading``."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from gateway.wire.contract import Exchanged, Reading
from gateway.wire.counts import Counts
from gateway.wire.shapes import exact_object, text
from pricing.usage import Part, Usage

MOST_RAW = 4096
MOST_PARTS = 16
"""Parts of a usage that are kept. Where there are more, what is told is a lower bound."""
MOST_FINISHES = 16
_ENCODER = msgspec.json.Encoder(decimal_format="number")


class Seen(msgspec.Struct, gc=False):
    """Collects facts of one answer: of each, the last that was not null."""

    began: bool = False
    """Something other than an error came: the provider has begun to work."""
    failed: bool = False
    known: dict[str, object] | None = None
    """The usage reported so far, once it was decoded."""
    raw: bytes | None = None
    """The usage object as sent, while there was only one."""
    model: str | None = None
    response_id: str | None = None
    service_tier: str | None = None
    speed: str | None = None
    geo: str | None = None
    error_code: str | None = None
    finish: list[str] = []
    ends: dict[int, object] = {}
    """Why each choice ended, where it may be said more than once."""
    created: int | None = None
    """When what is answered about was created, seconds since 1970."""
    fees_unseen: bool = False
    """Something was used whose fee no count tells of."""

    def identity(self, model: object, response_id: object) -> None:
        if model:
            self.model = text(model) or self.model
        if response_id:
            self.response_id = text(response_id) or self.response_id

    def created_at(self, told: object) -> None:
        """Takes a time in seconds since 1970 or as ISO 8601; anything else is passed over."""
        if type(told) is int:
            self.created = told
        elif type(told) is float and 0 <= told < 2**40:
            self.created = int(told)
        elif type(told) is str:
            self.created = _seconds(told) or self.created

    def finished_with(self, reason: object) -> None:
        """Adds one finish reason; one per choice, at most 16."""
        if reason and len(self.finish) < MOST_FINISHES:
            short = text(reason, 64)
            if short:
                self.finish.append(short)

    def choice_ended(self, which: int, reason: object) -> None:
        """Of each choice the last reason counts; :meth:`finished_as_told` makes them those of the answer."""
        if which in self.ends or len(self.ends) < MOST_FINISHES:
            self.ends[which] = reason

    def finished_as_told(self) -> None:
        self.finish = []
        for reason in self.ends.values():
            self.finished_with(reason)

    @property
    def usage(self) -> dict[str, object] | None:
        """The usage reported so far, decoded when first asked for."""
        if self.known is None and self.raw is not None:
            self.known = exact_object(self.raw)
            if self.known is None:
                self.raw = None
        return self.known

    def usage_is(self, found: dict[str, object], raw: bytes | None) -> None:
        """Takes a usage object (and its bytes) in place of any earlier one."""
        self.known, self.raw = found, raw

    def usage_adds(self, raw: msgspec.Raw | bytes) -> None:
        """Takes the fields of a usage object that are not null over the earlier ones (counts are cumulative).
        Null and whatever is no object is passed over."""
        sent = bytes(raw)
        if not sent.startswith(b"{"):
            return
        known = self.usage if self.raw is not None or self.known is not None else None
        if known is None:
            self.raw = sent
            return
        found = exact_object(sent)
        if found is not None:
            overlay(known, found)
            self.raw = None

    def error(self, code: str | None) -> None:
        """An error that came although the HTTP status said success."""
        self.failed = True
        self.error_code = code or self.error_code or "error"

    def raw_usage(self) -> bytes | None:
        """The usage as reported, at most 4 KiB (beyond that without its nested parts)."""
        raw = self.raw
        if raw is not None and len(raw) <= MOST_RAW:
            return raw
        known = self.usage
        if known is None:
            return None
        try:
            raw = _ENCODER.encode(known)
            if len(raw) > MOST_RAW:
                raw = _ENCODER.encode(
                    {n: v for n, v in known.items() if not isinstance(v, dict | list | str)}
                )
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None
        return raw if len(raw) <= MOST_RAW else None

    def with_usage(
        self,
        call: Exchanged,
        usage: Usage | None,
        counts: Counts,
        *,
        billable: bool = True,
        charge: int | None = None,
        also: tuple[Part, ...] = (),
    ) -> Reading:
        """Checks ``usage`` and leaves it out where the answer may not add to the bill: errors, calls sent
        elsewhere, and whatever was not asked for with ``POST``."""
        if call.method != "POST" or call.status >= 300 or (self.failed and not self.began):
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
            None,
            charge if billable and not counts.invalid else None,
            self.error_code,
            self.failed,
            self._kept(also) if also and billable and not counts.invalid else (),
            self.fees_unseen,
        )

    def _kept(self, also: tuple[Part, ...]) -> tuple[Part, ...]:
        if len(also) > MOST_PARTS:
            self.fees_unseen = True
        return also[:MOST_PARTS]

    def with_job(
        self,
        call: Exchanged,
        usage: Usage | None,
        counts: Counts,
        *,
        begins: bool,
        charge: int | None = None,
    ) -> Reading:
        """What is told of the background job that the answer is about. Its usage is not this call's, which costs
        nothing itself.

        ``begins``: the call begins one. What it costs is not known where the answer names none.
        """
        job = self.response_id
        of_job = counts.accept(usage) if usage is not None and job is not None else None
        read = self.with_usage(call, None, counts, billable=begins and job is None)
        if job is None:
            return read
        return msgspec.structs.replace(
            read,
            charge=None if counts.invalid else charge,
            job=job,
            job_usage=of_job,
            job_at_s=self.created,
        )


def usual_reading(
    usage: Usage | None,
    raw: bytes,
    model: str,
    response_id: str,
    finish: list[str],
    service_tier: str | None = None,
    speed: str | None = None,
    geo: str | None = None,
    plain: Usage | None = None,
) -> Reading | None:
    """The reading of a whole answer that says nothing unusual, of a sound ``usage`` and of texts that are short enough
    (``Name``, ``Short``); ``None`` where they need a closer look."""
    if usage is None or len(raw) > MOST_RAW:
        return None
    said = "".join((model, response_id, service_tier or "", speed or "", geo or "", *finish))
    if not said.isascii() or "\0" in said:
        return None
    return Reading(
        usage,
        raw,
        False,
        True,
        model or None,
        response_id or None,
        tuple(finish),
        service_tier or None,
        speed or None,
        geo or None,
        plain,
    )


def _seconds(told: str) -> int | None:
    """ISO 8601 as whole seconds since 1970; ``None`` for anything else."""
    try:
        at = datetime.fromisoformat(told)
    except ValueError:
        return None
    return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp())


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
