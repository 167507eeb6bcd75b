"""Anthropic messages (also behind Vertex ``rawPredict`` and Bedrock ``invoke``).

In a stream ``message_start`` tells the input and ``message_delta`` the output, but the delta may repeat, complete
and correct the input: of each field the last value counts, and nothing is ever added up.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gateway.wire.anthropic_usage import answered_by, anthropic_usage, apart, refused, usual_usage
from gateway.wire.asking import read_body
from gateway.wire.contract import Exchanged, Kept, Reading, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import anthropic_error, body_code
from gateway.wire.openai_usage import openai_charge
from gateway.wire.paths import ends
from gateway.wire.seen import MOST_PARTS, Seen, usual_reading
from gateway.wire.shapes import NOT_AS_EXPECTED, Name, Shape, text
from pricing.usage import Part


class _Why(msgspec.Struct):
    category: object = None


class _Delta(msgspec.Struct):
    stop_reason: object = None
    why: _Why | None = msgspec.field(name="stop_details", default=None)
    text: object = None
    thinking: object = None
    partial_json: object = None


class _Message(msgspec.Struct):
    id: object = None
    model: object = None
    usage: msgspec.Raw = msgspec.Raw(b"")
    stop_reason: object = None


class _Begun(msgspec.Struct):
    """A block of content, as far as it tells that one model took over from another."""

    type: object = None
    trigger: _Why | None = None


class _Event(msgspec.Struct):
    type: object = None
    message: _Message | None = None
    delta: _Delta | None = None
    block: _Begun | None = msgspec.field(name="content_block", default=None)
    why: _Why | None = msgspec.field(name="stop_details", default=None)
    usage: msgspec.Raw = msgspec.Raw(b"")
    id: object = None
    model: object = None
    stop_reason: object = None


class _Block(msgspec.Struct):
    text: object = None
    thinking: object = None
    input: msgspec.Raw = msgspec.Raw(b"")


class _Content(msgspec.Struct):
    content: list[_Block] | None = None


class _Hops(msgspec.Struct):
    content: list[_Begun] | None = None


class _Usual(msgspec.Struct):
    """A whole answer as nearly all are."""

    type: Literal["message"]
    usage: msgspec.Raw
    stop_reason: Literal["end_turn", "max_tokens", "stop_sequence", "tool_use"]
    id: Name = ""
    model: Name = ""


_EVENT = Shape(_Event)
_USUAL = msgspec.json.Decoder(_Usual)
_CONTENT = Shape(_Content)
_HOPS = Shape(_Hops)
_FALLBACK = b'"fallback"'
_MARKS = (b"message_", b'"error"', _FALLBACK)


class MessagesReader:
    __slots__ = ("_call", "_declined", "_seen", "_why", "finished", "marks", "text")

    def __init__(self, call: Exchanged) -> None:
        self._call = call
        self._seen = Seen()
        self._why: str | None = None
        """Why the answer was refused."""
        self._declined: list[str | None] = []
        """Why models declined before another answered."""
        self.finished = False
        self.marks: tuple[bytes, ...] = ()
        self.text: Kept | None = None

    def event(self, name: bytes, data: bytes) -> None:
        event = _EVENT.read(data)
        if event is None:
            return
        seen = self._seen
        kind = event.type
        if kind == "message_start":
            seen.began = True
            if self.text is None:
                self.marks = _MARKS
            if event.message is not None:
                seen.identity(event.message.model, event.message.id)
                seen.finished_with(event.message.stop_reason)  # of one that was made before the stream began
                self._usage(event.message.usage)
        elif kind == "message_delta":
            self._usage(event.usage)
            if event.delta is not None:
                if event.delta.stop_reason not in seen.finish:
                    seen.finished_with(event.delta.stop_reason)
                self._why = _category(event.delta.why) or self._why
        elif kind == "message_stop":
            self.finished = True
        elif kind == "error" or (kind is None and name == b"error"):
            seen.error(body_code(data))
            self.finished = True
        elif event.block is not None:
            self._hop(event.block)
        elif self.text is not None and event.delta is not None:
            for piece in (event.delta.text, event.delta.thinking, event.delta.partial_json):
                self.text.add(piece)

    def document(self, body: bytes) -> None:
        message = _EVENT.read(body)
        if message is None:
            return
        seen = self._seen
        if self._call.status >= 400:
            seen.error_code = body_code(body)
            return
        if message.type == "error":
            seen.error(body_code(body))
            return
        seen.began = True
        seen.identity(message.model, message.id)
        seen.finished_with(message.stop_reason)
        self._why = _category(message.why)
        if _FALLBACK in body:
            hops = _HOPS.read(body)
            for block in (hops.content if hops is not None else None) or ():
                self._hop(block)
        self._usage(message.usage)
        self.finished = True
        if self.text is not None:
            self._keep(self.text, body)

    def _hop(self, block: _Begun) -> None:
        if block.type == "fallback" and len(self._declined) < MOST_PARTS:
            self._declined.append(_category(block.trigger))

    def _usage(self, raw: msgspec.Raw) -> None:
        seen = self._seen
        seen.usage_adds(raw)
        found = seen.usage
        if found is None:
            return
        seen.service_tier = text(found.get("service_tier"), 64) or seen.service_tier
        seen.speed = text(found.get("speed"), 64) or seen.speed
        seen.geo = text(found.get("inference_geo"), 64) or seen.geo

    def _keep(self, kept: Kept, body: bytes) -> None:
        content = _CONTENT.read(body)
        for block in (content.content if content is not None else None) or ():
            kept.add(block.text)
            kept.add(block.thinking)
            if len(memoryview(block.input)) > 2:
                kept.add(bytes(block.input).decode("utf-8", "replace"))

    def reading(self) -> Reading:
        seen, counts = self._seen, Counts()
        found = seen.usage
        if found is None:
            return seen.with_usage(self._call, None, counts)
        usage = anthropic_usage(found, counts)
        also: tuple[Part, ...] = ()
        if found.get("iterations"):
            seen.model = answered_by(found) or seen.model
            also = apart(found, seen.model or self._call.ask.model, counts, self._declined)
        if "refusal" in seen.finish:
            usage = refused(usage, self._why)
        charge = openai_charge(self._call.provider, found) if "cost" in found else None
        return seen.with_usage(self._call, usage, counts, charge=charge, also=also)


def _category(why: _Why | None) -> str | None:
    return text(why.category, 64) if why is not None else None


def usual(path: str, body: bytes) -> Reading | None:
    """What :class:`MessagesReader` reads off a whole answer, if that is as nearly all are."""
    del path
    try:
        told = _USUAL.decode(body)
    except NOT_AS_EXPECTED:
        return None
    raw = bytes(told.usage)
    found = usual_usage(raw)
    if found is None:
        return None
    said, usage = found
    finish: list[str] = [told.stop_reason]
    return usual_reading(usage, raw, told.model, told.id, finish, said.service_tier, said.speed, said.geo)


def matches(method: str, path: str) -> bool:
    return method == "POST" and (
        ends(path, "/v1/messages") or ("/presets/" in path and ends(path, "/messages"))
    )


WIRE = Wire("anthropic_messages", "chat", matches, read_body, MessagesReader, anthropic_error, usual=usual)
