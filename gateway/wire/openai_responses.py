"""OpenAI responses: created, streamed, in the background, and polled.

Only the call that creates a response may be billed. A background response is created without usage; the polls
that fetch it later report the usage of that job again and again (``Reading.job_usage``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from gateway.wire.asking import read_body
from gateway.wire.contract import Exchanged, Kept, Reading, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import body_code, code_in, openai_error
from gateway.wire.openai_chat import provider_of
from gateway.wire.openai_tools import NO_TOOLS, USED, Item, tool_use
from gateway.wire.openai_usage import of_text, openai_charge, openai_usage, uses_tools, usual_usage
from gateway.wire.paths import plain
from gateway.wire.seen import Seen, usual_reading
from gateway.wire.shapes import NOT_AS_EXPECTED, Name, Shape, Short, anything, text


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
    tool_usage: msgspec.Raw = msgspec.Raw(b"")
    tools: msgspec.Raw = msgspec.Raw(b"")


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
    tool_usage: msgspec.Raw = msgspec.Raw(b"")


EVENT = Shape(Event)
_USUAL = msgspec.json.Decoder(_Usual)
_RESPONSE = Shape(Response)
TERMINAL = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")
_RUNNING = ("queued", "in_progress")
_NULL = (b"", b"null")
_MARKS = (b'"response"', b'"error"', b"[DONE]")
_BEFORE_WORK = ("response.created", "response.queued", "response.in_progress", "response.failed")
"""Events that come also where nothing is ever done (a quota is used up), unless the response in them has something."""
_ONE = re.compile(r"/responses/[^/]+(/cancel)?$")
_CREATES = ("/responses", "/responses/compact")
_TOLD_ABOVE = re.compile(rb'"(?:code_interpreter|shell|file_search)"')
"""Tools that are charged by what the output alone tells of their use."""


class ResponsesReader:
    __slots__ = ("_background", "_call", "_seen", "_tools", "finished", "marks", "text")

    def __init__(self, call: Exchanged) -> None:
        self._call = call
        self._seen = Seen()
        self._background = False
        self._tools = NO_TOOLS
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
        if self.text is not None:
            self.text.add(event.delta)
        kind = event.type if isinstance(event.type, str) else name.decode("latin-1")
        if kind == "error":
            self._seen.error(body_code(data))
            self.finished = True
            return
        if kind not in _BEFORE_WORK:
            self._seen.began = True
            if self.text is None:  # not before: the first event that tells of work has no mark
                self.marks = _MARKS
        if event.response is not None:
            self._take(event.response)
            if kind in TERMINAL:
                self._ended(event.response)

    def document(self, body: bytes) -> None:
        if self._call.status >= 400:
            self._seen.error_code = body_code(body)
            return
        response = _RESPONSE.read(body)
        if response is None:
            return
        if response.status is None and bytes(response.error) not in _NULL:
            self._seen.error(body_code(body))
            if bytes(response.usage) in _NULL:
                return
        if response.status != "failed":
            self._seen.began = True
        self._take(response)
        self._ended(response)
        if self.text is not None:
            _keep_output(self.text, body)

    def _ended(self, response: Response) -> None:
        self.finished = True
        if response.output is not None or bytes(response.usage) in _NULL:
            return
        # too large: it holds an image
        if self._tools.images is None or _TOLD_ABOVE.search(bytes(response.tools)) is not None:
            self._seen.fees_unseen = True

    def _take(self, response: Response) -> None:
        seen = self._seen
        seen.identity(response.model, response.id)
        if response.service_tier:
            seen.service_tier = text(response.service_tier, 64) or seen.service_tier
        if response.background is True:
            self._background = True
        seen.usage_adds(response.usage)
        if response.output or bytes(response.usage) not in _NULL:
            seen.began = True
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
        if response.output or response.tool_usage:
            self._tools = tool_use(
                response.output or (), response.tool_usage, response.tools, seen.model or self._call.ask.model
            )
            seen.fees_unseen = self._tools.fees_unseen

    def reading(self) -> Reading:
        seen, counts = self._seen, Counts()
        usage = None
        charge = None
        if seen.raw is not None:
            usage = usual_usage(seen.raw)
        if usage is None and seen.usage is not None:
            usage = openai_usage(provider_of(self._call), seen.usage, counts)
            charge = openai_charge(self._call.provider, seen.usage)
            if charge is None and uses_tools(seen.usage):
                seen.fees_unseen = True
        tools = self._tools
        if usage is not None and (tools.web or tools.files):
            usage = msgspec.structs.replace(
                usage, web_searches=tools.web or usage.web_searches, file_searches=tools.files or None
            )
        if self._background:
            if tools.images is not None:  # a job has no parts
                seen.fees_unseen = True
            return seen.with_job(self._call, usage, counts, begins=True, charge=charge)
        if self._call.method != "POST" or _cancels(self._call.path):
            return seen.with_usage(self._call, None, counts, billable=False)
        also = () if tools.images is None or usage is None else (tools.images,)
        return seen.with_usage(self._call, usage, counts, charge=charge, also=also)


def usual(path: str, body: bytes) -> Reading | None:
    """What :class:`ResponsesReader` reads off a whole answer, if that is as nearly all are."""
    try:
        told = _USUAL.decode(body)
    except NOT_AS_EXPECTED:
        return None
    if told.background or _cancels(path) or USED.search(told.tool_usage) is not None:
        return None
    raw = bytes(told.usage)
    usage = usual_usage(raw)
    return usual_reading(
        usage, raw, told.model, told.id, [told.status], told.service_tier, None, None, of_text(usage)
    )


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
