"""Bedrock agents, built beforehand or told inline (``InvokeAgent``, ``InvokeInlineAgent``). One call asks models any
number of times.

Usage stands in the trace alone, model by model, and only where the app asked for one (``enableTrace``); what an agent
used without is not known. Guardrails and knowledge bases have fees of their own, which are not told.
"""

from __future__ import annotations

import msgspec

from gateway.wire.asking import of_body
from gateway.wire.bedrock_usage import bedrock_usage, header_error
from gateway.wire.contract import AskFields, Exchanged, Reading, Wire
from gateway.wire.errors import aws_error
from gateway.wire.eventstream import EXCEPTION
from gateway.wire.paths import after, ends
from gateway.wire.shapes import Shape, exact_object, text
from gateway.wire.turns import TurnsReader

_MOST_ASKED = 64
"""Models that were asked and have not answered yet: more are not remembered by name."""


class _Metadata(msgspec.Struct):
    usage: msgspec.Raw = msgspec.Raw(b"")


class _Asked(msgspec.Struct):
    model: object = msgspec.field(name="foundationModel", default=None)
    trace: object = msgspec.field(name="traceId", default=None)


class _Raw(msgspec.Struct):
    content: object = None


class _Answered(msgspec.Struct):
    metadata: _Metadata | None = None
    raw: _Raw | None = msgspec.field(name="rawResponse", default=None)
    trace: object = msgspec.field(name="traceId", default=None)


class _Own(msgspec.Struct):
    """The model's own answer, a JSON text within the trace: Claude names itself in it."""

    model: object = None


class _Sought(msgspec.Struct):
    knowledge: msgspec.Raw = msgspec.field(name="knowledgeBaseLookupInput", default=msgspec.Raw(b""))


class _Step(msgspec.Struct):
    asked: _Asked | None = msgspec.field(name="modelInvocationInput", default=None)
    answered: _Answered | None = msgspec.field(name="modelInvocationOutput", default=None)
    sought: _Sought | None = msgspec.field(name="invocationInput", default=None)


class _Trace(msgspec.Struct):
    before: _Step | None = msgspec.field(name="preProcessingTrace", default=None)
    routing: _Step | None = msgspec.field(name="routingClassifierTrace", default=None)
    work: _Step | None = msgspec.field(name="orchestrationTrace", default=None)
    afterwards: _Step | None = msgspec.field(name="postProcessingTrace", default=None)
    guardrail: msgspec.Raw = msgspec.field(name="guardrailTrace", default=msgspec.Raw(b""))


class _Event(msgspec.Struct):
    trace: _Trace | None = None


class _Ask(msgspec.Struct):
    model: object = msgspec.field(name="foundationModel", default=None)


_EVENT = Shape(_Event)
_OWN = Shape(_Own)
_ASK = Shape(_Ask)


class AgentReader(TurnsReader):
    __slots__ = ("_asked",)

    def __init__(self, call: Exchanged) -> None:
        super().__init__(call)
        self._asked: dict[str, str] = {}
        """Models by the step of the trace in which they were asked."""

    def event(self, name: bytes, data: bytes) -> None:
        if name.startswith(EXCEPTION):
            self.seen.error(name[len(EXCEPTION) :].decode("latin-1")[:128])
            self.finished = True
            return
        self.seen.began = True
        if name != b"chunk":
            self.take(data)

    def document(self, body: bytes) -> None:
        if self.call.status >= 400:
            self.seen.error_code = header_error(self.call)

    def take(self, data: bytes) -> None:
        event = _EVENT.read(data)
        trace = event.trace if event is not None else None
        if trace is None:
            return
        if bytes(trace.guardrail).startswith(b"{"):
            self.seen.fees_unseen = True
        for step in (trace.before, trace.routing, trace.work, trace.afterwards):
            if step is not None:
                self._step(step)

    def _step(self, step: _Step) -> None:
        if step.sought is not None and bytes(step.sought.knowledge).startswith(b"{"):
            self.seen.fees_unseen = True
        if step.asked is not None and len(self._asked) < _MOST_ASKED:
            model = text(step.asked.model)
            if model is not None:
                self._asked[text(step.asked.trace) or ""] = model
        answered = step.answered
        if answered is None:
            return
        model = self._asked.pop(text(answered.trace) or "", None) or _named(answered.raw)
        found = exact_object(answered.metadata.usage) if answered.metadata is not None else None
        if found is not None:
            self.add(bedrock_usage(found, self._counts), found, model)

    def reading(self) -> Reading:
        read = super().reading()
        if self.call.status >= 300 or (self.seen.failed and not self.seen.began):
            return msgspec.structs.replace(read, billable=False)
        return read


def _named(raw: _Raw | None) -> str | None:
    """The model by its own answer, where the trace does not say whom it asked."""
    if raw is None or type(raw.content) is not str:
        return None
    own = _OWN.read(raw.content.encode("utf-8", "replace"))
    return text(own.model) if own is not None else None


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    """The agent stands for the model, unless it is told inline and names one."""
    del query
    asked = of_body(body, stream=True)
    found = _ASK.read(body)
    model = text(found.model) if found is not None else None
    session = after(path, "/sessions/")
    if session is None:
        session = after(path, "/agents/")
    else:
        model = model or after(path, "/agents/")
    return msgspec.structs.replace(asked, model=model, session=session)


def matches(method: str, path: str) -> bool:
    """Inline ones have a path that others make agents with; their provider tells (``providers/bedrock.py``)."""
    return method == "POST" and "/agentAliases/" in path and ends(path, "/text")


WIRE = Wire("bedrock_agent", "invoke_agent", matches, read_ask, AgentReader, aws_error)
