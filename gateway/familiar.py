"""Request heads that come again.

An SDK on a kept connection sends the same head over and over, but for the length of the body. What follows from a
head alone (lines that pass, target, caller, attribution, the request as it goes upstream) is worked out once and
found again by comparing bytes. A head with anything else that changes (a trace context) is simply read anew.
"""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.call import Recall, RequestHead

_NAME: Final = b"\r\ncontent-length:"
_MOST_DIGITS: Final = 18
MOST_STRANGE: Final = 4
"""After so many heads in a row that were not familiar, a connection stops trying."""


class Familiar(msgspec.Struct, frozen=True, gc=False):
    """One head, cut where the length of its body stands."""

    before: bytes
    after: bytes
    head: RequestHead
    """Declares no bytes of body: each request declares its own."""

    def told(self, raw: bytes) -> tuple[int, int] | None:
        """The declared length of the body and where it begins, if ``raw`` begins with this head and whatever length."""
        before = self.before
        if not raw.startswith(before):
            return None
        start = len(before)
        stop = raw.find(b"\r", start, start + _MOST_DIGITS)
        digits = raw[start:stop]
        if stop < 0 or not digits.isdigit() or not raw.startswith(self.after, stop):
            return None
        return int(digits), stop + len(self.after)


def familiar(raw: bytes, end: int, head: RequestHead) -> Familiar | None:
    """Remember a plain head; ``end`` is where its empty line begins in ``raw``."""
    if head.content_length is None or head.expects_continue:
        return None
    at = raw.lower().find(_NAME, 0, end)
    if at < 0:
        return None
    start = at + len(_NAME)
    while raw[start : start + 1] in (b" ", b"\t"):
        start += 1
    stop = raw.find(b"\r", start)
    if not raw[start:stop].isdigit() or stop - start >= _MOST_DIGITS:
        return None
    kept = msgspec.structs.replace(head, content_length=0, recall=Recall())
    return Familiar(raw[:start], raw[stop : end + 4], kept)
