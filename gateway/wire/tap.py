"""Looks on as an answer passes, and reads it.

The tap gets a copy of every piece of the body and never slows, changes or fails the call: whatever goes wrong in
it is counted in ``errors``, and the rest of the answer goes by unread where it must.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Protocol

import msgspec

from gateway.wire.contract import Exchanged, Reader, Reading, Wire
from gateway.wire.document import DocumentFrames
from gateway.wire.eventstream import EventStreamFrames
from gateway.wire.inflate import EncodingError, ExpansionError, inflater
from gateway.wire.json_array import ArrayFrames
from gateway.wire.ndjson import LineFrames
from gateway.wire.sse import BOM, SseFrames
from gateway.wire.text import Text

MOST_ERRORS = 16
"""After so many failures a tap stops looking."""
JSON = frozenset(("application/json", "application/json; charset=utf-8"))
"""What nearly every answer that is no stream calls itself."""


class TapLimits(msgspec.Struct, frozen=True):
    """Bytes kept at most for one open answer."""

    event: int = 4 * 1_048_576
    """One event, line or element; larger ones are dropped."""
    document: int = 4 * 1_048_576
    """One whole body; of larger ones only both ends are read."""
    sample: int = 4096
    """Bytes of the answer as it came that are kept until its end, so that tokens can be counted where none are
    reported."""
    keep_text: int = 0
    """Characters of the answer's text to keep for token estimation; 0 keeps none."""


class Sample(msgspec.Struct, gc=False):
    """The first bytes of an answer, and what it takes to read them again."""

    wire: Wire
    call: Exchanged
    content_type: str
    content_encoding: str
    room: int
    """Bytes that may still be kept."""
    pieces: list[bytes] = []
    size: int = 0


class Witness(Protocol):
    """Who saw an answer pass, and is asked about it when it is over. Raises nothing."""

    def conclude(self) -> Reading:
        """The body is over, complete or not: what it said. May be called again."""

    @property
    def sample(self) -> Sample:
        """The answer's first bytes."""

    @property
    def sample_is_whole(self) -> bool:
        """Was the whole answer small enough to be kept?"""


class Blind(enum.StrEnum):
    """Why a tap stopped looking."""

    ENCODING = "encoding"
    """Content encoding unknown or damaged."""
    EXPANSION = "expansion"
    """The body inflates beyond the limits."""
    ERRORS = "errors"


class Frames(Protocol):
    """Cuts a body into what a reader reads."""

    @property
    def dropped(self) -> int: ...

    def feed(self, data: bytes) -> None: ...

    def end(self) -> None: ...


class Unread:
    """For bodies in which there is nothing to read (sound, pictures, plain text)."""

    dropped = 0

    def feed(self, data: bytes) -> None:
        pass

    def end(self) -> None:
        pass


_UNREAD = Unread()


class Tap:
    """Reads one answer. ``feed`` takes de-chunked body bytes as they come, still content-encoded, or ``whole`` all of them."""

    __slots__ = (
        "_call",
        "_content_encoding",
        "_content_type",
        "_dropped",
        "_frames",
        "_kept",
        "_limits",
        "_reader",
        "_take",
        "_text",
        "_wire",
        "blind",
        "errors",
        "room",
    )

    def __init__(
        self,
        wire: Wire,
        call: Exchanged,
        content_type: str,
        content_encoding: str = "",
        limits: TapLimits = TapLimits(),  # noqa: B008 (frozen)
    ) -> None:
        self._wire = wire
        self._call = call
        self._content_type = content_type
        self._content_encoding = content_encoding
        self._limits = limits
        self.blind: Blind | None = None
        self.errors = 0
        self._reader: Reader | None = None
        self._text: Text | None = None
        self._frames: Frames = _UNREAD
        self._dropped = 0
        self._take: Callable[[bytes], None] = self._begin
        self._kept: list[bytes] = []
        self.room = 0 if limits.keep_text else limits.sample
        """Bytes of the answer that may still be kept; below zero: some were not."""

    def _begin(self, data: bytes) -> None:
        """The first piece: now it takes a reader, and whatever cuts the body up for it."""
        self._take = _UNREAD.feed
        kind = self._content_type.partition(";")[0].strip().lower()
        self._frames = frames = self._framing(self._read_by(), kind)
        if self._content_encoding:
            inflate = inflater(self._content_encoding, frames.feed)
            self._take = frames.feed if inflate is None else inflate.feed
        else:
            self._take = frames.feed
        self._take(data)

    def _read_by(self) -> Reader:
        self._reader = reader = self._wire.reader(self._call)
        if self._limits.keep_text:
            reader.text = self._text = Text(self._limits.keep_text)
        return reader

    @property
    def sample(self) -> Sample:
        """The answer's first bytes."""
        kept = self._kept
        return Sample(
            self._wire,
            self._call,
            self._content_type,
            self._content_encoding,
            self.room,
            kept,
            sum(map(len, kept)),
        )

    @property
    def finished(self) -> bool:
        """The answer's own terminal event was seen."""
        return self._reader is not None and self._reader.finished

    @property
    def dropped(self) -> int:
        """Events or bodies that were too large (or damaged) to be read whole."""
        return self._dropped + self._frames.dropped

    @property
    def sample_is_whole(self) -> bool:
        """Was the whole answer small enough to be kept?"""
        return self.room >= 0

    @property
    def text(self) -> str:
        """The answer's text as far as it was kept."""
        return str(self._text) if self._text is not None else ""

    @property
    def text_cut(self) -> bool:
        """Some of the text was beyond the cap."""
        return self._text is not None and self._text.cut

    @property
    def events(self) -> SseFrames | None:
        """What cuts the answer into events, if it is a stream of them and nothing stands in between."""
        frames = self._frames
        return frames if isinstance(frames, SseFrames) and self._take == frames.feed else None

    def feed(self, data: bytes) -> bool:
        """The next part of the body; whether the answer's own terminal event has been seen. Raises nothing."""
        if self.room >= 0:
            self.keep(data)
        try:
            self._take(data)
        except ExpansionError:
            self._fail(Blind.EXPANSION)
        except EncodingError:
            self._fail(Blind.ENCODING)
        except Exception:  # noqa: BLE001
            self._fail(Blind.ERRORS)
        reader = self._reader
        return reader is not None and reader.finished

    def whole(self, body: bytes) -> None:
        """All of a body at once. Raises nothing."""
        limits = self._limits
        if (
            self._content_type not in JSON
            or self._content_encoding
            or self._wire.json_stream
            or len(body) > limits.document
        ):
            self.feed(body)
            return
        if self.room >= 0:
            self.keep(body)
        self._take = _UNREAD.feed
        try:
            self._read_by()
        except Exception:  # noqa: BLE001
            self._fail(Blind.ERRORS)
        else:
            self._document(body)

    def keep(self, data: bytes) -> None:
        """Of the sample, while there is ``room``."""
        self._kept.append(data[: self.room])
        self.room -= len(data)

    def end(self) -> None:
        """The body is over, complete or not. Raises nothing; a second call does nothing."""
        self._take = _UNREAD.feed
        frames = self._frames
        try:
            if self._reader is None and not self.errors:  # there was no body
                self._read_by()
            frames.end()
        except Exception:  # noqa: BLE001
            self._fail(Blind.ERRORS)
        # Frames and tap hold each other; letting go here frees the answer now and not at some collection later.
        self._dropped = frames.dropped
        self._frames = _UNREAD

    def conclude(self) -> Reading:
        """What the answer said, now that it is over. Raises nothing."""
        self.end()
        return self.reading()

    def reading(self) -> Reading:
        """What is known so far. Raises nothing."""
        if self._reader is None:
            return Reading()
        try:
            return self._reader.reading()
        except Exception:  # noqa: BLE001
            self.errors += 1
            return Reading()

    def _fail(self, why: Blind) -> None:
        self.errors += 1
        self.blind = why
        self._take = _UNREAD.feed

    def _event(self, name: bytes, data: bytes) -> None:
        assert self._reader is not None
        try:
            self._reader.event(name, data)
        except Exception:  # noqa: BLE001
            self.errors += 1
            if self.errors >= MOST_ERRORS:
                self._fail(Blind.ERRORS)

    def _document(self, body: bytes) -> None:
        """A whole body; one that turns out to be a stream in disguise is read as that."""
        assert self._reader is not None
        if not body.startswith(b"{"):
            body = body.removeprefix(BOM).lstrip()
        frames: Frames | None = None
        if body.startswith((b"data:", b"event:", b"id:", b":")):
            frames = SseFrames(self._reader, self._event, self._limits.event)
        elif self._call.ask.stream and b"}\n{" in body:
            frames = LineFrames(self._reader, self._event, self._limits.event)
        if frames is not None:
            frames.feed(body)
            frames.end()
            return
        try:
            self._reader.document(body)
        except Exception:  # noqa: BLE001
            self.errors += 1

    def _framing(self, reader: Reader, kind: str) -> Frames:
        """The framing that a media type stands for."""
        if kind == "text/event-stream":
            return SseFrames(reader, self._event, self._limits.event)
        if kind in _LINES:
            return LineFrames(reader, self._event, self._limits.event)
        if kind == "application/json" or kind.endswith("+json"):
            if self._wire.json_stream and self._call.ask.stream:
                return ArrayFrames(self._event, self._document, self._limits.event)
            return DocumentFrames(self._document, self._limits.document)
        if kind == "application/vnd.amazon.eventstream":
            return EventStreamFrames(self._event, self._limits.event)
        if kind.startswith(("audio/", "image/", "video/", "multipart/")):
            return _UNREAD
        return Guessed(self._by_first_bytes)

    def _by_first_bytes(self, first: bytes) -> Frames:
        """The framing that the beginning of a body of no telling media type stands for."""
        assert self._reader is not None
        if first.startswith((b"data:", b"event:", b"id:", b":")):
            return self._framing(self._reader, "text/event-stream")
        if first.startswith((b"{", b"[")):
            streamed = self._call.ask.stream and not self._wire.json_stream and self._call.status < 400
            return self._framing(self._reader, "application/x-ndjson" if streamed else "application/json")
        return _UNREAD


class Guessed:
    """Waits for the first bytes of a body before choosing its framing."""

    __slots__ = ("_choose", "_chosen", "_first")

    def __init__(self, choose: Callable[[bytes], Frames]) -> None:
        self._choose = choose
        self._first = b""
        self._chosen: Frames | None = None

    @property
    def dropped(self) -> int:
        return self._chosen.dropped if self._chosen is not None else 0

    def feed(self, data: bytes) -> None:
        if self._chosen is None:
            self._first += data
            if len(self._first.lstrip(_BEFORE)) < _ENOUGH and len(self._first) < 4096:
                return
            self._decide()
            return
        self._chosen.feed(data)

    def end(self) -> None:
        if self._chosen is None:
            self._decide()
        if self._chosen is not None:
            self._chosen.end()

    def _decide(self) -> None:
        self._chosen = self._choose(self._first.lstrip(_BEFORE))
        self._chosen.feed(self._first)
        self._first = b""


def text_of(sample: Sample, most: int) -> tuple[str, bool]:
    """The text in a sample, by reading it once more with a tap that keeps it; and whether there is more than ``most``."""
    limits = TapLimits(keep_text=most)
    again = Tap(sample.wire, sample.call, sample.content_type, sample.content_encoding, limits)
    for piece in sample.pieces:
        again.feed(piece)
    again.end()
    return again.text, again.text_cut


_BEFORE = b" \t\r\n" + BOM
_ENOUGH = 6
_LINES = frozenset(
    f"application/{name}"
    for name in ("x-ndjson", "ndjson", "jsonl", "jsonlines", "x-jsonlines", "stream+json", "json-seq")
)
