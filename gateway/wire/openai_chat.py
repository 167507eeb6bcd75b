"""OpenAI chat completions, and everyone who speaks it (Azure, Mistral, Groq, DeepSeek, xAI, OpenRouter...).

Usage may sit on a chunk without choices, on one with choices, on every chunk (Perplexity, cumulative), or only in
``x_groq``: of each field the last value that is not null counts.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from gateway.wire.asking import read_body
from gateway.wire.contract import Exchanged, Kept, Reading, Wire
from gateway.wire.counts import Counts
from gateway.wire.errors import body_code, code_in, openai_error
from gateway.wire.openai_usage import of_text, openai_charge, openai_usage, uses_tools, usual_usage
from gateway.wire.paths import ends
from gateway.wire.seen import MOST_FINISHES, Seen, usual_reading
from gateway.wire.shapes import NOT_AS_EXPECTED, Name, Shape, Short, exact_object, text
from gateway.wire.usage_injection import inject_usage
from pricing.usage import Part, Usage

_NO_RAW = msgspec.Raw(b"")


class _Choice(msgspec.Struct):
    index: object = None
    finish_reason: object = None
    usage: msgspec.Raw = _NO_RAW
    """Moonshot's streams tell it here."""


class _Groq(msgspec.Struct):
    usage: msgspec.Raw = _NO_RAW
    usage_breakdown: msgspec.Raw = _NO_RAW


class _Part(msgspec.Struct):
    model: object = None
    usage: msgspec.Raw = _NO_RAW


class _Parts(msgspec.Struct):
    models: list[_Part] | None = None


class _Chunk(msgspec.Struct):
    id: object = None
    model: object = None
    usage: msgspec.Raw = _NO_RAW
    choices: list[_Choice] | None = None
    service_tier: object = None
    x_groq: _Groq | None = None
    error: object = None
    usage_breakdown: msgspec.Raw = _NO_RAW


class _Call(msgspec.Struct):
    name: object = None
    arguments: object = None


class _ToolCall(msgspec.Struct):
    function: _Call | None = None


class _Message(msgspec.Struct):
    content: object = None
    reasoning_content: object = None
    reasoning: object = None
    refusal: object = None
    tool_calls: list[_ToolCall] | None = None


class _Spoken(msgspec.Struct):
    delta: _Message | None = None
    message: _Message | None = None


class _Words(msgspec.Struct):
    choices: list[_Spoken] | None = None


class _UsualChoice(msgspec.Struct):
    finish_reason: Short | None = None
    usage: None = None


class _UsualGroq(msgspec.Struct):
    usage: None = None
    usage_breakdown: None = None


class _Usual(msgspec.Struct):
    """A whole answer; where what is ``None`` here is anything else, it is not a usual one."""

    usage: msgspec.Raw
    choices: Annotated[list[_UsualChoice], msgspec.Meta(max_length=MOST_FINISHES)] = []
    id: Name = ""
    model: Name = ""
    service_tier: Short | None = None
    x_groq: _UsualGroq | None = None
    error: None = None
    usage_breakdown: None = None


_CHUNK = Shape(_Chunk)
_USUAL = msgspec.json.Decoder(_Usual)
_PARTS = Shape(_Parts)
_WORDS = Shape(_Words)
_RAN = b'"executed_tools"'
"""Groq's own tools (searches, a browser, code). Each use is charged, and no usage tells of it."""
_RAN_SOME = re.compile(_RAN + rb"\s*:\s*\[\s*\{")
_TIGHT = (b"_tokens", b'_reason":"', b"[DONE]", b"error")
_SPACED = (b"_tokens", b'_reason": "', b"[DONE]", b"error")
"""An error may be named by its event alone, without the quotes of a member."""
_SEARCHING = re.compile(r"gpt-[^/]*-search-(?:preview|api)")
"""Models of OpenAI's that search before every answer. Each search is charged, and no usage tells of it."""
_ODD_SPACE = re.compile(rb'"\s+:|:\s\s|:[\t\r\n]')


def marks_for(event: bytes) -> tuple[bytes, ...]:
    """What the events that matter contain, in the spacing this stream's JSON is written with."""
    if _ODD_SPACE.search(event):
        return ()
    spaced, tight = b'": ' in event, b'":"' in event
    if spaced and tight:
        return (*_TIGHT, _SPACED[1])
    return _SPACED if spaced else _TIGHT


class ChatReader:
    __slots__ = ("_call", "_ran", "_runs", "_seen", "_shares", "finished", "marks", "text")

    def __init__(self, call: Exchanged) -> None:
        self._call = call
        self._seen = Seen()
        self._runs = call.provider == "groq"
        """The provider runs tools of its own."""
        self._ran = False
        """It has run some."""
        self._shares = _NO_RAW
        """Which model of a system of several (Groq's compound ones) used how much of the usage."""
        self.finished = False
        self.marks: tuple[bytes, ...] = ()
        self.text: Kept | None = None

    def event(self, name: bytes, data: bytes) -> None:
        if data.startswith(b"[DONE]"):
            self.finished = True
            return
        chunk = _CHUNK.read(data)
        if chunk is None:
            return
        if name == b"error" or chunk.error is not None:
            self._seen.error(body_code(data))
        else:
            self._seen.began = True
        self._take(chunk)
        if self._runs:
            self._ran = self._ran or _ran_tools(data)
        if self.text is not None:
            self._keep(self.text, data)
        elif not self.marks and self._seen.model is not None:  # else it is not how the others are written
            self.marks = marks_for(data)
            if self._runs and self.marks:
                self.marks += (_RAN,)

    def document(self, body: bytes) -> None:
        chunk = _CHUNK.read(body)
        if self._call.status >= 400:
            self._seen.error_code = body_code(body)
            return
        if chunk is None:
            return
        if chunk.error is not None:
            self._seen.error(code_in(chunk.error))
        else:
            self._seen.began = True
        self._take(chunk, whole=True)
        self._ran = self._runs and _ran_tools(body)
        self.finished = True
        if self.text is not None:
            self._keep(self.text, body)

    def _take(self, chunk: _Chunk, *, whole: bool = False) -> None:
        """``whole``: it holds each choice once."""
        seen = self._seen
        seen.identity(chunk.model, chunk.id)
        if chunk.service_tier:
            seen.service_tier = text(chunk.service_tier, 64) or seen.service_tier
        for place, choice in enumerate(chunk.choices or ()):
            if choice.finish_reason:
                which = choice.index if type(choice.index) is int and not whole else place
                seen.choice_ended(which, choice.finish_reason)  # OpenRouter says it again with the usage
                if choice.finish_reason == "error":
                    seen.error(None)
                if choice.usage is not _NO_RAW:
                    seen.usage_adds(choice.usage)
        if chunk.x_groq is not None:
            seen.usage_adds(chunk.x_groq.usage)
            if chunk.x_groq.usage_breakdown is not _NO_RAW:
                self._shares = chunk.x_groq.usage_breakdown
        seen.usage_adds(chunk.usage)
        if chunk.usage_breakdown is not _NO_RAW:
            self._shares = chunk.usage_breakdown

    def _keep(self, kept: Kept, data: bytes) -> None:
        words = _WORDS.read(data)
        for choice in (words.choices if words is not None else None) or ():
            message = choice.delta or choice.message
            if message is None:
                continue
            for piece in (message.content, message.reasoning_content, message.reasoning, message.refusal):
                kept.add(piece)
            for tool in message.tool_calls or ():
                if tool.function is not None:
                    kept.add(tool.function.name)
                    kept.add(tool.function.arguments)

    def reading(self) -> Reading:
        seen, counts = self._seen, Counts()
        seen.finished_as_told()
        model = seen.model or self._call.ask.model or ""
        searched = "-search-" in model and _SEARCHING.search(model) is not None
        seen.fees_unseen = seen.began and (searched or self._ran)
        usual = usual_usage(seen.raw) if seen.raw is not None and self._shares is _NO_RAW else None
        if usual is not None or seen.usage is None:
            return seen.with_usage(self._call, usual, counts)
        found = seen.usage
        usage = openai_usage(provider_of(self._call), found, counts)
        charge = openai_charge(self._call.provider, found)
        seen.service_tier = seen.service_tier or text(found.get("service_tier"), 64)
        also: tuple[Part, ...] = ()
        if charge is not None:
            seen.fees_unseen = False
        elif uses_tools(found):
            seen.fees_unseen = True
        if self._shares is not _NO_RAW:
            also = self._apart(counts)
            if also:  # each is paid by its own model, and none twice
                if _is_less(also, usage):
                    seen.fees_unseen = True
                usage = msgspec.structs.replace(usage, billed_input=0, billed_output=0)
        return seen.with_usage(self._call, usage, counts, charge=charge, also=also)

    def _apart(self, counts: Counts) -> tuple[Part, ...]:
        """Usage by model."""
        parts = _PARTS.read(self._shares)
        apart: list[Part] = []
        for part in (parts.models if parts is not None else None) or ():
            name, found = text(part.model), exact_object(part.usage)
            if name is not None and found is not None:
                apart.append(Part(name, openai_usage(self._call.provider, found, counts), within=True))
        return tuple(apart)


def usual(path: str, body: bytes) -> Reading | None:
    """What :class:`ChatReader` reads off a whole answer, if that is as nearly all are."""
    del path
    try:
        told = _USUAL.decode(body)
    except NOT_AS_EXPECTED:
        return None
    finish: list[str] = []
    for choice in told.choices:  # a comprehension is a function, made and called
        if choice.finish_reason:
            finish.append(choice.finish_reason)
    if "error" in finish or not told.model or "-search-" in told.model:
        return None
    if told.x_groq is not None and _RAN in body:
        return None
    raw = bytes(told.usage)
    usage = usual_usage(raw)
    return usual_reading(
        usage, raw, told.model, told.id, finish, told.service_tier, None, None, of_text(usage)
    )


def _ran_tools(data: bytes) -> bool:
    """Does an answer, or a part of one, tell of tools that the provider ran?"""
    return _RAN in data and _RAN_SOME.search(data) is not None


def _is_less(parts: tuple[Part, ...], whole: Usage) -> bool:
    """Did models that are not among the parts use some of the whole?"""
    asked = sum(part.usage.input or 0 for part in parts)
    made = sum(part.usage.output or 0 for part in parts)
    return asked < (whole.input or 0) or made < (whole.output or 0)


def provider_of(call: Exchanged) -> str:
    """The provider's kind; Gemini's OpenAI-compatible endpoint also by its path."""
    return "gemini" if "/v1beta/openai/" in call.path or "/endpoints/openapi/" in call.path else call.provider


def matches(method: str, path: str) -> bool:
    return method == "POST" and ends(path, "/chat/completions") and not ends(path, "/async/chat/completions")


WIRE = Wire("openai_chat", "chat", matches, read_body, ChatReader, openai_error, inject_usage, usual=usual)
