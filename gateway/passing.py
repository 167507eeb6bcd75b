"""The next token of a stream passes in one step.

Most reads of a stream are one chunk of HTTP holding one event that differs from the one before in its text alone, or a
few of them. Where one such was read and told nothing (:mod:`gateway.wire.likeness`), the next goes to the app without
being parsed: the parser stands between two chunks before it and after it, and so do the frames between two events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.call import Progress
from gateway.gear import Client
from gateway.wire.likeness import Likeness
from gateway.wire.tap import Tap

LONGEST: Final = 1024
"""Chunks of so many bytes and more are no single tokens."""
MOST_LESSONS: Final = 4
"""So many events in a row that resembled none before: this stream's events differ in more than their text."""


def _size_lines() -> tuple[bytes, ...]:
    """By the length of a whole chunk: the line it begins with. For lengths that no chunk has: more than there is."""
    lines = [b"-" * LONGEST] * LONGEST
    for size in range(1, LONGEST):
        line = b"%x\r\n" % size
        whole = len(line) + size + 2
        if whole < LONGEST:
            lines[whole] = line
    return tuple(lines)


_QUOTE: Final = ord('"')
_SIZES: Final = {b"%x\r\n" % size: size for size in range(1, LONGEST)}
"""By the line a chunk begins with."""
_LONGEST_LINE: Final = max(map(len, _SIZES))
_SIZE_LINES: Final = _size_lines()


class Passing:
    """Of one answer that goes to the app as it comes, in chunks."""

    __slots__ = (
        "_begin",
        "_clock",
        "_end",
        "_lessons",
        "_like",
        "_passed",
        "_progress",
        "_tap",
        "_text_at",
        "_write",
    )

    def __init__(self, client: Client, progress: Progress, tap: Tap, clock: Callable[[], float]) -> None:
        self._write = client.writer()
        self._progress = progress
        self._tap = tap
        self._clock = clock
        self._like: Likeness | None = None
        """To the event that is known."""
        self._begin = self._end = b""
        """Of most of its kind: before the text, and from the quote behind it to the end of the chunk."""
        self._text_at = 0
        self._passed = False
        """Something was like the event that is known now."""
        self._lessons = 0

    def passes(self, data: bytes) -> bool:  # Connection.passing; one function: it is called for every token
        """Write a read to the app if it is like the event that is known; whether it was. The parser has not seen it.

        May be called only while ``follows`` said so.
        """
        size = len(data)
        if size >= LONGEST:
            return self._pass_several(data)
        line = _SIZE_LINES[size]
        at = len(line)
        if data[:at] != line:
            return self._pass_several(data)
        text = at + self._text_at
        # Where a text has quotes of its own, what follows the first of them is no end: it would not be JSON.
        if (data[at:text] != self._begin or data[data.find(_QUOTE, text) :] != self._end) and not (
            data.endswith(b"\r\n") and self._is_like(data, at, size - 2)
        ):
            return False
        progress = self._progress
        progress.last_read_at = self._clock()
        progress.response_bytes += size - at - 2
        if self._tap.room >= 0:
            self._tap.keep(data[at:-2])
        self._passed = True
        self._write(data)
        return True

    def _is_like(self, data: bytes, at: int, to: int) -> bool:
        return self._like is not None and self._like.holds(data, at, to)

    def _pass_several(self, data: bytes) -> bool:
        """The same for a read of several whole chunks that are all like the event that is known."""
        tokens: list[bytes] = []
        at = 0
        while at < len(data):
            start = data.find(b"\n", at, at + _LONGEST_LINE) + 1
            size = _SIZES.get(data[at:start])
            if size is None:
                return False
            to = start + size
            at = to + 2
            if data[to:at] != b"\r\n" or not self._is_like(data, start, to):
                return False
            tokens.append(data[start:to])
        self._progress.last_read_at = self._clock()
        for token in tokens:
            self._progress.response_bytes += len(token)
            if self._tap.room >= 0:
                self._tap.keep(token)
        self._passed = True
        self._write(data)
        return True

    def follows(self, data: bytes, pieces: list[bytes]) -> bool:
        """May the next read pass, after ``data`` was parsed into ``pieces`` and the tap has seen them?

        It may while an event is known, and parser and frames stand at an end (then a filter holds nothing either).
        """
        frames = self._tap.events
        if frames is None or not frames.at_end or not pieces:
            return False
        last = pieces[-1]
        if not data.endswith(b"%x\r\n%b\r\n" % (len(last), last)):
            return False
        if frames.told_nothing and (self._like is None or not self._like.holds(last, 0, len(last))):
            self._learn(last)
        return self._like is not None

    def _learn(self, event: bytes) -> None:
        """Know ``event``, which told nothing, unless this stream's events differ in more than their text."""
        if self._passed:
            self._lessons = 0
        if self._lessons >= MOST_LESSONS:
            return
        self._lessons += 1
        self._passed = False
        self._like = like = Likeness(event)
        self._begin, self._end = like.begin, like.end + b"\r\n"
        self._text_at = len(like.begin)
