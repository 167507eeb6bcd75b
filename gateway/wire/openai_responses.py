"""OpenAI responses: created, streamed, in the background, and polled.

Only the call that creates a response may be billed. A background response is created without usage; the polls
that fetch it later report the usage of that job again and again (``Reading.job_usage``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from gateway.wire.asking import read_body
from gateway.wire.contract import Exchanged, Kept, Reading, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import body_code, code_in, openai_error
from gateway.wire.openai_chat import provider_of
from gateway.wire.openai_usage import openai_charge, openai_usage, usual_usage
from gateway.wire.paths import plain
from gateway.wire.seen import Seen, usual_reading
from gateway.wire.shapes import NOT_AS_EXPECTED, Name, Shape, Short, anything, text


class Item(msgspec.Struct):
    type: object = None
    action: msgspec.Raw = msgspec.Raw(b"")


class _Incomplete(msgspec.Struct):
    reason: object = None


class Response(msgspec.Struct):
    id: object = None
    model: object = None
    status: object = None
    usage: msgspec.Raw = msgspec.Raw(b"")
    service_tier: object = None
    background: object = None
    created_at: object = None
    error: msgspec.Raw = msgspec.Raw(b"")
    incomplete_details: _Incomplete | None = None
    output: list[Item] | None = None


class Event(msgspec.Struct):
    type: object = None
    response: Response | None = None
    error: msgspec.Raw = msgspec.Raw(b"")
    delta: object = None


class _UsualItem(msgspec.Struct):
    type: Literal["message", "reasoning", "function_call", "custom_tool_call"]


class _Usual(msgspec.Struct):
    """A whole answer; where what is ``None`` here is anything else, it is not a usual one."""

    usage: msgspec.Raw
    status: Literal["completed"]
    output: list[_UsualItem]
    id: Name = ""
    model: Name = ""
    service_tier: Short | None = None
    background: bool | None = None
    incomplete_details: None = None
    error: None = None


EVENT = Shape(Event)
_USUAL = msgspec.json.Decoder(_Usual)
_RESPONSE = Shape(Response)
TERMINAL = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_RUNNING = ("queued", "in_progress")
_NULL = (b"", b"null")
_MARKS = (b'"response"', b'"error"', b"[DONE]")
_ONE = re.compile(r"/responses/[^/]+(/cancel)?$")
_CREATES = ("/responses", "/responses/compact")
_WITH_FEES = ("code_interpreter_call", "image_generation_call")
"""Tools whose use is charged and reported nowhere: containers by session, images at another model's rates."""


class ResponsesReader:
    __slots__ = ("_background", "_call", "_files", "_searches", "_seen", "finished", "marks", "text")

    def __init__(self, call: Exchanged) -> None:
        self._call = call
        self._seen = Seen()
        self._background = False
        self._searches = 0
        self._files = 0
        self.finished = False
        self.marks: tuple[bytes, ...] = ()
        self.text: Kept | None = None

    def event(self, name: bytes, data: bytes) -> None:
        if data.startswith(b"[DONE]"):
            self.finished = True
            return
        event = EVENT.read(data)
        if event is None:
            return
        if self.text is None:
            self.marks = _MARKS
        else:
            self.text.add(event.delta)
        kind = event.type if isinstance(event.type, str) else name.decode("latin-1")
        if kind == "error":
            self._seen.error(body_code(data))
            self.finished = True
            return
        self._seen.began = True
        if event.response is not None:
            self._take(event.response)
            if kind in TERMINAL:
                self.finished = True
                if event.response.output is None:  # too large to be read: it holds an image
                    self._seen.fees_unseen = True

    def document(self, body: bytes) -> None:
        if self._call.status >= 400:
            self._seen.error_code = body_code(body)
            return
        response = _RESPONSE.read(body)
        if response is None:
            return
        self._seen.began = True
        self._take(response)
        self.finished = True
        if self.text is not None:
            _keep_output(self.text, body)

    def _take(self, response: Response) -> None:
        seen = self._seen
        seen.identity(response.model, response.id)
        if response.service_tier:
            seen.service_tier = text(response.service_tier, 64) or seen.service_tier
        if response.background is True:
            self._background = True
        seen.usage_adds(response.usage)
        seen.created_at(response.created_at)
        status = response.status
        if status and status not in _RUNNING:
            reason = response.incomplete_details.reason if response.incomplete_details is not None else None
            seen.finish.clear()
            seen.finished_with(reason or status)
        if status == "failed":
            seen.error(
                code_in(anything(bytes(response.error))) if bytes(response.error) not in _NULL else None
            )
        if response.output:
            self._searches, self._files = searches_in(response.output)
            seen.fees_unseen = has_fees(response.output)

    def reading(self) -> Reading:
        seen, counts = self._seen, Counts()
        usage = None
        charge = None
        if seen.raw is not None:
            usage = usual_usage(seen.raw)
        if usage is None and seen.usage is not None:
            usage = openai_usage(provider_of(self._call), seen.usage, counts)
            charge = openai_charge(self._call.provider, seen.usage)
        if usage is not None and (self._searches or self._files):
            usage = msgspec.structs.replace(
                usage,
                web_searches=self._searches or usage.web_searches,
                file_searches=self._files or None,
            )
        if self._background:
            return seen.with_job(self._call, usage, counts, begins=True, charge=charge)
        if self._call.method != "POST" or _cancels(self._call.path):
            return seen.with_usage(self._call, None, counts, billable=False)
        return seen.with_usage(self._call, usage, counts, charge=charge)


def usual(path: str, body: bytes) -> Reading | None:
    """What :class:`ResponsesReader` reads off a whole answer, if that is as nearly all are."""
    try:
        told = _USUAL.decode(body)
    except NOT_AS_EXPECTED:
        return None
    if told.background or _cancels(path):
        return None
    raw = bytes(told.usage)
    return usual_reading(usual_usage(raw), raw, told.model, told.id, [told.status], told.service_tier)


def searches_in(items: Iterable[Item]) -> tuple[int, int]:
    """Searches of the web, and of the provider's file store, among the items of an answer."""
    web = sum(1 for item in items if item.type == "web_search_call" and _is_search(item.action))
    return web, sum(1 for item in items if item.type == "file_search_call")


def has_fees(items: Iterable[Item]) -> bool:
    """Was a tool used that is charged and reported nowhere?"""
    return any(item.type in _WITH_FEES for item in items)


def _is_search(action: msgspec.Raw) -> bool:
    """Opening a page and finding in it are not billed as searches."""
    if bytes(action) in _NULL:
        return True
    value = anything(bytes(action))
    return not isinstance(value, Mapping) or value.get("type", "search") == "search"


def _keep_output(kept: Kept, body: bytes) -> None:
    value = anything(body)
    items = value.get("output") if isinstance(value, Mapping) else None
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, Mapping):
            continue
        kept.add(item.get("arguments"))
        content = item.get("content")
        for part in content if isinstance(content, list) else ():
            if isinstance(part, Mapping):
                kept.add(part.get("text"))


def _cancels(path: str) -> bool:
    return plain(path).endswith("/cancel")


def matches(method: str, path: str) -> bool:
    short = plain(path)
    if method == "POST":
        return short.endswith(_CREATES) or (short.endswith("/cancel") and _ONE.search(short) is not None)
    return method == "GET" and _ONE.search(short) is not None


WIRE = Wire("openai_responses", "chat", matches, read_body, ResponsesReader, openai_error, usual=usual)
