"""Calls that are over before they begin: how they are answered, recorded, and what stands in their place."""

from __future__ import annotations

from typing import Final

import msgspec

from gateway import attribution
from gateway.attribution import NO_ROUTE
from gateway.call import Call, Plan, Progress, RequestHead, Target
from gateway.errors import Code, Refusal, error_body
from gateway.gear import Gear
from gateway.ids import call_id
from gateway.recording import record_of_refusal
from gateway.relay import own_response
from gateway.wire.contract import AskFields
from storage.keys.model import Key
from telemetry.outcome import Outcome
from telemetry.record import Who


class Refused(msgspec.Struct, frozen=True):
    """A call that was refused, as far as it had come."""

    started_ns: int
    head: RequestHead
    target: Target | None
    plan: Plan | None
    call: Call | None
    ask: AskFields


class Ended:
    """Stands for an exchange that was over before it began: refused, and already recorded."""

    over: Final = True

    async def __aenter__(self) -> Ended:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    def client_gone(self) -> None: ...

    def client_paused(self) -> None: ...

    def client_resumed(self) -> None: ...

    def upload(self, data: bytes, count: int) -> None: ...

    def uploaded(self, tail: bytes) -> None: ...

    def client_exceeded(self, limit: int) -> None: ...


ENDED: Final = Ended()


def recorded(
    gear: Gear, rules: attribution.Rules, refusal: Refusal, refused: Refused, progress: Progress
) -> str | None:
    """Put the refusal on record once the provider is known; the record's id."""
    head, target, call = refused.head, refused.target, refused.call
    if target is None:
        return None
    record = record_of_refusal(
        call_id(refused.started_ns) if call is None else call.id,
        refused.started_ns,
        head.method,
        target,
        refused.ask,
        _who(rules, refused, refusal.key),
        refused.plan.route if refused.plan is not None else NO_ROUTE,
        progress,
        refusal.code,
        gear.clock(),
        Outcome.GATEWAY_ERROR if refusal.code is Code.GATEWAY_ERROR else Outcome.REFUSED,
    )
    gear.sink.closed(record)
    return record.id


def answer_to(refusal: Refusal, target: Target | None, record_id: str | None, *, close: bool) -> bytes:
    """What the app is told, in the shape of the wire it speaks."""
    extra = refusal.header_lines
    if record_id is not None:
        extra += b"x-weighbridge-request-id: %b\r\n" % record_id.encode("ascii")
    body = error_body(
        target.wire if target is not None else None, refusal.status, refusal.code, refusal.message
    )
    return own_response(refusal.status, body, extra, close=close)


def _who(rules: attribution.Rules, refused: Refused, ended: Key | None) -> Who:
    if refused.call is not None:
        return refused.call.who
    known = refused.plan.known if refused.plan is not None else None
    scan = refused.head.scan
    key = known.key if known is not None else ended
    return attribution.who(scan.labels, refused.ask, rules, scan.seen, key)
