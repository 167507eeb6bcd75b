"""The stages of a call, in order, at one level. Everything between a parsed request and a running exchange.

    identify -> read -> admit -> route -> dispatch

Each stage makes one small frozen value; none does I/O. The exchange then runs by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from gateway import attribution, headers
from gateway.admission import FREE, Admission, Admitted
from gateway.call import Call, Plan, Progress, RequestHead, Target
from gateway.capturing.rules import NO_CAPTURE, CaptureRules
from gateway.errors import Code, Refusal
from gateway.exchange import Exchange
from gateway.gear import Client, Deadlines, Gear
from gateway.identity import Identity, check_allowed, check_attributes
from gateway.ids import call_id
from gateway.price_headers import price_said
from gateway.realtime import Side, Tunnel
from gateway.recording import opening_record, what_of
from gateway.refusing import ENDED, Ended, Refused, answer_to, recorded
from gateway.settings.choices import IncomingTrace
from gateway.signing import OWN_LINES
from gateway.turns import Steps, Turns
from gateway.wire.contract import AskFields
from storage.keys.model import Key
from telemetry.propagation import format_traceparent
from telemetry.record import Trace, Who
from telemetry.sampling import Sampler, begin_trace

NO_ASK: Final = AskFields()


UNSIGNABLE: Final = "A request that is signed for AWS must be held whole (limits.hold_body_bytes)."


class Limits(msgspec.Struct, frozen=True):
    """Bytes. Above ``hold_body`` a request body is streamed through; above ``body`` it is refused."""

    hold_body: int
    body: int
    url: int
    trusts_prices: bool = False
    """What an app says its call costs is believed."""


class Tracing(msgspec.Struct, frozen=True):
    """What is made of trace context. ``exports``: spans are; ``forward``: the provider gets it."""

    exports: bool
    incoming: IncomingTrace
    sampler: Sampler = Sampler()
    forward: bool = False


class Targets(Protocol):
    """Path to provider; see :mod:`gateway.targets`."""

    def resolve(self, method: str, raw_target: bytes) -> Target:
        """Raises :class:`gateway.errors.Refusal` for a path that leads nowhere."""

    def deadlines(self, target: Target) -> Deadlines: ...

    def injects_usage(self, target: Target) -> bool: ...


Begun = Callable[["Exchange | Ended"], None]
"""Hears of the call once it is on its way, or refused."""


_ENDS_HTTP: Final = frozenset((b"websocket", b"tcp"))
"""Protocols after whose name aiohttp's parser reads no body."""


class Proxy:
    """Made once per worker in :mod:`gateway.app`."""

    def __init__(
        self,
        gear: Gear,
        targets: Targets,
        identity: Identity,
        limits: Limits,
        tracing: Tracing,
        rules: attribution.Rules = attribution.DEFAULT_RULES,
        admission: Admission | None = None,
        capture: CaptureRules = NO_CAPTURE,
    ) -> None:
        self.refused: dict[str, int] = {}
        """Refusals by code; includes those of requests that named no provider and so left no record."""
        self._admission = admission
        self.adopt(gear, targets, identity, limits, tracing, rules, capture)
        self._beginnings = Turns(gear.loop, gear.defect, gear.sink.opened_together)
        """Where calls meet whose requests are whole."""
        self.closing = False
        self.retiring = False
        """Another process has taken the port over: apps are told to connect anew."""

    def adopt(
        self,
        gear: Gear,
        targets: Targets,
        identity: Identity,
        limits: Limits,
        tracing: Tracing,
        rules: attribution.Rules,
        capture: CaptureRules,
    ) -> None:
        """New settings, for the calls to come."""
        self._gear = gear
        self._targets = targets
        self._identity = identity
        self.limits = limits
        self._traces, self._forward_trace = tracing.exports, tracing.forward
        self._incoming, self._sampler = tracing.incoming, tracing.sampler
        self._rules = rules
        self._capture = None if capture.never else capture
        self._epoch = object()
        """Stands for settings and keys: what was worked out under others counts no more."""

    def keys_changed(self) -> None:
        """What was worked out with the keys of before counts no more."""
        self._epoch = object()

    def handle(self, head: RequestHead, body: bytes, whole: bool, client: Client) -> Exchange | Ended:
        """Take one call through its stages and send it on its way.

        ``body`` is what is held of the request body; ``whole`` says that it is all of it. A refusal is answered
        in the wire's own error shape and recorded; nothing is raised.
        """
        begun: list[Exchange | Ended] = []
        steps = self._stages(time.time_ns(), self._gear.clock(), head, body, whole, client, begun.append)
        self._beginnings.through(steps)
        return begun[0]

    def begin(self, head: RequestHead, body: bytes, client: Client, begun: Begun) -> None:
        """The same for a call whose body is whole, beside others that come in this turn of the loop."""
        steps = self._stages(time.time_ns(), self._gear.clock(), head, body, True, client, begun)
        self._beginnings.join(steps, client.cut)

    def _stages(
        self,
        started_ns: int,
        started_at: float,
        head: RequestHead,
        body: bytes,
        whole: bool,
        client: Client,
        begun: Begun,
    ) -> Steps:
        progress = Progress(started_at)
        target: Target | None = None
        plan: Plan | None = None
        call: Call | None = None
        ask = NO_ASK
        try:
            recall = head.recall
            plan = recall.plan if recall is not None else None
            if plan is None or plan.epoch is not self._epoch:
                self._check_head(head)
                target = self._targets.resolve(head.method, head.target)
                plan = self._plan(head, target, started_ns)
                if recall is not None:
                    recall.plan, recall.named = plan, None
            target = plan.target
            self._check_body(head, len(body))
            wire = target.wire
            if wire is not None:
                ask = wire.read_ask(target.path, target.query, body)
            yield None
            call, rest = self._call(started_ns, head, plan, ask, body, whole)
            progress.request_bytes = len(body)
            yield None
            admitted = self._admit(call)
            exchange = Exchange(self._gear, client, call, progress, self._targets.deadlines(target))
            exchange.close_client = self.retiring or not head.keep_alive
            exchange.notes = admitted.notes
            if rest:
                exchange.hold_back(rest)
            if admitted.waiting is not None:
                exchange.wait(admitted.waiting)
            else:
                yield opening_record(call)
                exchange.go_out()
        except Exception as error:  # also a defect of ours: the app is told, and the call is on record
            refusal = error if isinstance(error, Refusal) else self._failed(error)
            refused = Refused(started_ns, head, target, plan, call, ask)
            self._refuse(refusal, refused, progress, len(body), whole, client)
            begun(ENDED)
        else:
            begun(exchange)

    def tunnel(self, head: RequestHead, side: Side, app: asyncio.Transport, early: bytes) -> None:
        """Take a WebSocket through the same stages. A refusal is answered through ``side``; else its transport
        ``app`` is taken over, with what came behind the head (``early``)."""
        started_ns = time.time_ns()
        progress = Progress(self._gear.clock())
        target: Target | None = None
        plan: Plan | None = None
        call: Call | None = None
        ask = NO_ASK
        try:
            self._check_body(head, 0)
            self._check_length(head)
            target = self._targets.resolve(head.method, head.target)
            plan = self._plan(head, target, started_ns)
            if target.wire is not None:
                ask = target.wire.read_ask(target.path, target.query, b"")
            plan = msgspec.structs.replace(plan, opening=headers.upgrading(plan.opening))
            call, _ = self._call(started_ns, head, plan, ask, b"", True)
            admitted = self._admit(call, paid=True)
            tunnel = Tunnel(self._gear, call, progress, self._targets.deadlines(target), side, admitted)
            tunnel.begin(app, early)
        except Refusal as refusal:
            refused = Refused(started_ns, head, target, plan, call, ask)
            self._refuse(refusal, refused, progress, 0, True, side)

    # ---- the stages

    def _check_head(self, head: RequestHead) -> None:
        self._check_length(head)
        if (
            head.scan.seen.get(b"upgrade", b"").lower() in _ENDS_HTTP
        ):  # others are ignored, as RFC 9110 7.8 allows
            raise Refusal(
                400, Code.UPGRADE_UNSUPPORTED, "A WebSocket begins with a GET of HTTP/1.1 that has no body."
            )

    def _check_length(self, head: RequestHead) -> None:
        if len(head.target) > self.limits.url:
            raise Refusal(
                414, Code.TOO_LARGE, f"The URL is longer than {self.limits.url} bytes (limits.url_bytes)."
            )

    def _plan(self, head: RequestHead, target: Target, started_ns: int) -> Plan:
        """What follows from the head alone: who calls, what goes upstream, for whom."""
        scan = head.scan
        now_ms = started_ns // 1_000_000
        caller = self._identity.identify(scan.seen, scan.labels, head.target, target.provider, now_ms)
        known = caller.known
        key = known.key if known is not None else None
        sent = self._identity.sent_target(target.sent_target, target.provider)
        if sent != target.sent_target:
            target = msgspec.structs.replace(target, sent_target=sent)
        lines, signer = caller.forward(scan.forward), target.signer
        if scan.labels and self._rules.aliases:
            lines = [line for line in lines if not headers.name_of(line).startswith(self._rules.aliases)]
        if signer is not None:
            if signer.applies(scan.seen):
                lines = [line for line in lines if headers.name_of(line) not in OWN_LINES]
            else:
                signer = None
        wire = target.wire
        who = attribution.who(scan.labels, NO_ASK, self._rules, scan.seen, key)
        return Plan(
            self._epoch,
            target,
            headers.request_opening(
                head.method.encode("ascii"),
                target.sent_target,
                target.authority,
                lines,
            ),
            who,
            attribution.route(scan.labels),
            signer,
            price_said(scan.labels) if scan.labels and self._trusts_prices(key) else None,
            known,
            wire is not None
            and wire.inject_usage is not None
            and b"content-encoding" not in scan.seen
            and self._targets.injects_usage(target),
            None if self._capture is None else self._capture.wanted(scan.labels, scan.seen, who, key),
        )

    def _trusts_prices(self, key: Key | None) -> bool:
        return self.limits.trusts_prices or (key is not None and key.trusts_prices)

    def _admit(self, call: Call, *, paid: bool | None = None) -> Admitted:
        """May this call be made? Raises :class:`Refusal`, or leaves the decision to be waited for."""
        known = call.known
        if known is not None:
            if not known.is_good(call.started_ns // 1_000_000):
                raise Refusal(401, Code.UNAUTHORIZED, "This gateway key has expired. Ask for a new one.")
            check_allowed(known.key, call.target.provider, call.method, call.ask.model)
            check_attributes(known.key, call.who)
        return FREE if self._admission is None else self._admission.admit(call, known, paid=paid)

    def _check_body(self, head: RequestHead, held: int) -> None:
        if self.closing:
            raise Refusal(503, Code.SHUTTING_DOWN, "The gateway is shutting down; try again.", retry_after=1)
        limit, length = self.limits.body, head.content_length
        if held > limit or (length is not None and length > limit):
            raise Refusal(
                413, Code.TOO_LARGE, f"The request body is larger than {limit} bytes (limits.body_bytes)."
            )

    def _call(
        self, started_ns: int, head: RequestHead, plan: Plan, ask: AskFields, body: bytes, whole: bool
    ) -> tuple[Call, bytes]:
        """The call, and what of its body goes up behind the request head where the body is not whole yet."""
        target, opening, sent, hides_usage = plan.target, plan.opening, body, False
        trace = None
        known = plan.known
        key = known.key if known is not None else None
        if self._traces or b"traceparent" in head.scan.seen:
            trace = self._trace(head.scan.seen)
            if trace is not None and key is not None and key.traced:
                trace = msgspec.structs.replace(trace, sampled=False)
            if self._forward_trace:
                opening += self._trace_lines(head.scan.seen, trace)
        if ask.stream and plan.injects_usage and whole and not ask.wants_usage:
            assert target.wire is not None
            assert target.wire.inject_usage is not None
            injected = target.wire.inject_usage(body)
            if injected is not None:
                sent, hides_usage = injected, True
                opening = headers.uncompressed(opening)
        size = len(sent)
        if plan.signer is not None:
            if not whole:
                raise Refusal(413, Code.TOO_LARGE, UNSIGNABLE)
            opening += plan.signer.lines(head.method, target.sent_target, target.authority, sent, started_ns)
        if whole and size:
            request = b"%bContent-Length: %d\r\n\r\n%b" % (opening, size, sent)
        else:
            request = b"%b%b\r\n" % (opening, _framing(head, size, whole))
        call = Call(
            call_id(started_ns),
            started_ns,
            head.method,
            target,
            ask,
            what_of(head.method, target, ask, len(body)),
            self._who_is(head, plan, ask),
            plan.route,
            trace,
            request,
            body,
            whole,
            not whole and head.content_length is None,
            plan.price_said,
            hides_usage,
            known,
            plan.capture,
        )
        return call, b"" if whole else sent

    def _who_is(self, head: RequestHead, plan: Plan, ask: AskFields) -> Who:
        """Attribution with what the body says. The same head with the same names is the same answer."""
        user, session, tags, recall = ask.user, ask.session, ask.tags, head.recall
        if user is None and session is None and not tags:
            return plan.who
        named = (user, session, tags)
        if recall is not None and recall.who is not None and recall.named == named:
            return recall.who
        key = plan.known.key if plan.known is not None else None
        who = attribution.who(head.scan.labels, ask, self._rules, head.scan.seen, key)
        if recall is not None:
            recall.who, recall.named = who, named
        return who

    def _trace(self, seen: dict[bytes, bytes]) -> Trace | None:
        parent = seen.get(b"traceparent")
        incoming = self._incoming
        if not self._traces and (parent is None or incoming is IncomingTrace.IGNORE):
            return None
        return begin_trace(parent, seen.get(b"tracestate"), incoming=incoming, sampler=self._sampler)

    def _trace_lines(self, seen: dict[bytes, bytes], trace: Trace | None) -> bytes:
        """Trace context for the provider: our CLIENT span where spans are exported, else the app's own."""
        if self._traces and trace is not None:
            span = format_traceparent(trace.trace_id, trace.client_span_id, trace.sampled)
            state = b"tracestate: %b\r\n" % trace.state.encode("latin-1") if trace.state else b""
            return b"traceparent: %b\r\n%b" % (span, state)
        told = [name for name in (b"traceparent", b"tracestate") if name in seen]
        return b"".join([b"%b: %b\r\n" % (name, seen[name]) for name in told])

    # ---- refusals

    def _failed(self, error: Exception) -> Refusal:
        """A defect of ours before the call went out."""
        self._gear.defect(error)
        return Refusal(500, Code.GATEWAY_ERROR, "The gateway failed on this call before it was sent.")

    def _refuse(
        self,
        refusal: Refusal,
        refused: Refused,
        progress: Progress,
        held: int,
        whole: bool,
        client: Client,
    ) -> None:
        """Answer in the wire's shape; record it once the provider is known."""
        self.refused[refusal.code] = self.refused.get(refusal.code, 0) + 1
        if refused.call is not None and self._admission is not None:
            self._admission.release(refused.call.id)
        progress.request_bytes = held
        progress.status = refusal.status
        kept_as = recorded(self._gear, self._rules, refusal, refused, progress)
        close = not whole or not refused.head.keep_alive
        client.write(answer_to(refusal, refused.target, kept_as, close=close))
        client.end(close=close)


def _framing(head: RequestHead, held: int, whole: bool) -> bytes:
    """The header line that delimits the request body at the provider; empty where there is no body."""
    if whole:
        return b"Content-Length: %d\r\n" % held if head.content_length is not None or head.chunked else b""
    if head.content_length is not None:
        return b"Content-Length: %d\r\n" % head.content_length
    return b"Transfer-Encoding: chunked\r\n"
