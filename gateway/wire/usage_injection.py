"""Asks a stream for its usage where the app did not, and keeps the answer to that from the app.

``inject_usage`` splices ``stream_options.include_usage`` into a request body; every other byte stays as it was.
``UsageFilter`` takes the one extra chunk (no choices, usage) out of the stream the app sees; every other byte
passes unchanged, wherever the pieces happen to be cut.
"""

from __future__ import annotations

import re

import msgspec

from gateway.wire.shapes import anything

_INCLUDE = b'"include_usage":true'
_OPTION = b'"stream_options":{' + _INCLUDE + b"}"
_KEY = re.compile(rb'"stream_options"\s*:\s*')
_OFF = re.compile(rb'("include_usage"\s*:\s*)(?:false|null)')
_EMPTY = re.compile(rb"\{\s*\}\Z")
_OBJECT = re.compile(rb"\s*\{")
_BAD = (msgspec.MsgspecError, ValueError, RecursionError)


class _Request(msgspec.Struct):
    stream: object = None
    stream_options: msgspec.Raw = msgspec.Raw(b"")


_REQUEST = msgspec.json.Decoder(_Request)
_ANY_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])


def inject_usage(body: bytes) -> bytes | None:
    """``body`` with usage reporting switched on; ``None`` where it is no streaming request, asks for usage already,
    or says something about it that cannot be spliced."""
    try:
        request = _REQUEST.decode(body)
    except _BAD:
        return None
    if request.stream is not True:
        return None
    told = bytes(request.stream_options)
    if not told and b'"stream_options"' not in body:
        return _first_member(body, _OPTION)
    found = _last_member(body)
    if found is None:
        return None if told else _first_member(body, _OPTION)
    start, value = found
    spliced = _switched_on(value)
    return None if spliced is None else body[:start] + spliced + body[start + len(value) :]


def _first_member(body: bytes, member: bytes) -> bytes | None:
    """``body`` with ``member`` in front of its other members (there are some: ``stream``)."""
    opened = _OBJECT.match(body)
    return None if opened is None else body[: opened.end()] + member + b"," + body[opened.end() :]


def _last_member(body: bytes) -> tuple[int, bytes] | None:
    """Where the value of the outermost ``stream_options`` stands, and its bytes.

    A candidate is outermost exactly if what follows it, with an opening brace in front, is a whole object.
    """
    for candidate in reversed(list(_KEY.finditer(body))):
        try:
            members = _ANY_OBJECT.decode(b"{" + body[candidate.start() :])
        except _BAD:
            continue
        return candidate.end(), bytes(members["stream_options"])
    return None


def _switched_on(value: bytes) -> bytes | None:
    """The options with usage switched on; ``None`` where it is on, or where they are no object."""
    if value == b"null":
        return b"{" + _INCLUDE + b"}"
    options = anything(value)
    if not isinstance(options, dict) or options.get("include_usage") is True:
        return None
    if "include_usage" in options:
        switched, changes = _OFF.subn(rb"\1true", value)
        return switched if changes == 1 else None
    if _EMPTY.match(value):
        return b"{" + _INCLUDE + b"}"
    return b"{" + _INCLUDE + b"," + value[1:]


MOST_HELD = 65_536
"""An event that is still unfinished at this size is no usage chunk."""
_BOUNDARY = re.compile(rb"\r\n\r\n|\n\n|\n\r\n|\r\n\n|\r\r(?!\n)")
_WITH_CHOICE = re.compile(rb'"choices"\s*:\s*\[\s*[^\]\s]')
_MARK = b"_tokens"


class _Chunk(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None
    usage: dict[str, msgspec.Raw] | None = None


_CHUNK = msgspec.json.Decoder(_Chunk)


class UsageFilter:
    """Bytes of an event stream in, the same bytes without the extra usage chunk out.

    An event is held back only while it may still turn out to be that chunk.
    """

    __slots__ = ("_held", "_passing", "_tail", "hidden")

    def __init__(self) -> None:
        self._held = b""
        self._passing = False
        """Inside an event that has been let through although its end has not come."""
        self._tail = b""
        self.hidden = 0
        """Chunks kept from the app."""

    def feed(self, data: bytes) -> bytes:
        """What of ``data`` and of what was held may go to the app now."""
        if not self._held and not self._passing and data.rfind(_MARK) < 0 and data.endswith(b"\n\n"):
            return data
        out: list[bytes] = []
        if self._passing:
            data = self._pass(data, out)
            if self._passing:
                return b"".join(out)
        pending = self._held + data
        at = 0
        for boundary in _BOUNDARY.finditer(pending):
            event = pending[at : boundary.end()]
            at = boundary.end()
            if self._hides(event):
                self.hidden += 1
                out.append(event[: len(event) - len(event.lstrip(b"\r\n"))])
            else:
                out.append(event)
        rest = pending[at:]
        if len(rest) > MOST_HELD or _WITH_CHOICE.search(rest) is not None:
            out.append(rest)
            self._held, self._passing, self._tail = b"", True, rest[-3:]
        else:
            self._held = rest
        return b"".join(out)

    def end(self) -> bytes:
        """What was still held when the stream ended."""
        rest, self._held = self._held, b""
        if self._hides(rest):
            self.hidden += 1
            return b""
        return rest

    def _pass(self, data: bytes, out: list[bytes]) -> bytes:
        """Lets the rest of the current event through; returns what follows it."""
        joined = self._tail + data
        boundary = _BOUNDARY.search(joined)
        if boundary is None:
            out.append(data)
            self._tail = joined[-3:]
            return b""
        cut = boundary.end() - len(self._tail)
        out.append(data[:cut])
        self._passing, self._tail = False, b""
        return data[cut:]

    def _hides(self, event: bytes) -> bool:
        if _MARK not in event:
            return False
        lines = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
        try:
            chunk = _CHUNK.decode(b"\n".join(lines))
        except _BAD:
            return False
        return chunk.choices == [] and bool(chunk.usage)
