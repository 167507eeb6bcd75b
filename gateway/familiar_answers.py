"""Heads of answers that are like earlier ones.

A provider writes the same header lines into one answer after the other; what it says in them (the time, an id, how many
requests are left) changes. An answer that is here whole, with a head that was parsed before but for such values, is told by
one comparison with that head: nothing of it is parsed anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

from gateway.headers import TOLD, AnswerHead

MOST: Final = 4
"""Heads that are remembered of one origin."""
EVERY: Final = 1024
"""Once that many are remembered, another one is for each so many answers that were not familiar: to remember one takes as
long as to parse some hundred."""
MOST_BYTES: Final = 8192
_LENGTH: Final = b"content-length"
_LOOKED_INTO: Final = TOLD - {_LENGTH}
_VALUE: Final = rb"[\t\x20-\x7e\x80-\xff]*"
"""The parser takes nothing else either."""


class FamiliarAnswer(msgspec.Struct, frozen=True, gc=False):
    """One head, but for the values that nothing is made of."""

    like: Callable[[bytes], re.Match[bytes] | None]
    """Matches a head with these lines; the first group is the length of the body."""
    status: int
    keep: bool
    """The connection may serve again."""
    head: AnswerHead

    def again(self, data: bytes) -> AnswerHead | None:
        """The head of ``data``, if that is one like this with all of its body, and no more."""
        found = self.like(data)
        if found is None:
            return None
        end, length = found.end(), int(found[1])
        if len(data) - end != length:
            return None
        head = self.head
        return AnswerHead(
            data[:end], head.content_type, head.content_encoding, length, False, head.strip, head.hops
        )


def familiar_answer(head: AnswerHead, status: int, *, keep: bool) -> FamiliarAnswer | None:
    """Remember a head that the parser found well-formed, if its length is all that delimits the body."""
    raw = head.raw
    if not head.content_length or len(raw) > MOST_BYTES:
        return None
    first, *lines = raw[:-4].split(b"\r\n")
    patterns = [re.escape(first)]
    for line in lines:
        name, _, _ = line.partition(b":")
        lower = name.lower()
        if name != name.strip():  # also where a line goes on in the next
            return None
        if lower in _LOOKED_INTO:
            patterns.append(re.escape(line))
        elif lower == _LENGTH:
            patterns.append(re.escape(name) + rb":[ \t]*([1-9][0-9]{0,14})")
        else:
            patterns.append(re.escape(name) + b":" + _VALUE)
    like = re.compile(b"\r\n".join([*patterns, b"\r\n"])).match
    return FamiliarAnswer(like, status, keep, head)


class FamiliarAnswers:
    """Those of one origin, the latest first."""

    __slots__ = ("_known", "_strange")

    def __init__(self) -> None:
        self._known: list[FamiliarAnswer] = []
        self._strange = 0

    def again(self, data: bytes) -> tuple[FamiliarAnswer, AnswerHead] | None:
        """The familiar answer that ``data`` is like, and its head."""
        for known in self._known:
            head = known.again(data)
            if head is not None:
                if known is not self._known[0]:
                    self._comes_first(known)
                return known, head
        return None

    def remember(self, head: AnswerHead, status: int, *, keep: bool) -> None:
        """An answer that was not familiar was here whole: the next of its kind may be."""
        self._strange += 1
        if len(self._known) == MOST and self._strange < EVERY:
            return
        known = familiar_answer(head, status, keep=keep)
        if known is not None:
            self._strange = 0
            self._comes_first(known)

    def _comes_first(self, known: FamiliarAnswer) -> None:
        others = [one for one in self._known if one is not known]
        self._known = [known, *others[: MOST - 1]]
