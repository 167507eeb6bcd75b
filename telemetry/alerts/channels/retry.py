"""What an answer means for a delivery, and when it is tried again: one table for all channels."""

from __future__ import annotations

import enum
from typing import Final


class Fate(enum.StrEnum):
    """What becomes of a delivery after a try."""

    SENT = "sent"
    RETRY = "retry"
    GIVE_UP = "give_up"
    DISABLE = "disable"
    """The receiver is gone for good: nothing more is sent to the channel until somebody looks."""


class Trouble(enum.StrEnum):
    """Why there was no good answer. The only thing about an error that is kept: its text may hold a secret."""

    STATUS = "status"
    """Another status than 2xx; the status says which."""
    TIMEOUT = "timeout"
    UNKNOWN_HOST = "unknown_host"
    """The host's name could not be resolved."""
    CONNECT = "not_reachable"
    TLS = "tls"
    RESET = "connection_reset"
    """The connection broke before there was an answer."""
    PROTOCOL = "bad_answer"
    """What came back is no answer."""
    PRIVATE_TARGET = "private_target"
    """The address is not a public one, and the channel may not send there."""
    LOGIN = "login_refused"
    REFUSED = "address_refused"
    """The mail server refused sender or recipient."""
    DEFECT = "defect"
    """A mistake of ours; the log has it."""


SCHEDULE_S: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds from a failed try to the next: ten tries over three days."""
JITTER_PPM: Final = 100_000
"""At most so much later, so that what failed together does not come back together."""
LONGEST_S: Final = 86_400
"""A receiver may ask for a longer pause (Retry-After), up to this."""
HOPELESS: Final = frozenset((400, 405, 406, 411, 413, 414, 415, 422, 431, 501, 505))
"""The request itself is refused, and the next try would be the same. Everything else may mend."""
GONE: Final = 410


def fate_of(status: int) -> Fate:
    """2xx alone is success; redirects are not followed and count as any other failure."""
    if 200 <= status < 300:
        return Fate.SENT
    if status == GONE:
        return Fate.DISABLE
    return Fate.GIVE_UP if status in HOPELESS else Fate.RETRY


def smtp_fate(code: int) -> Fate:
    """4xx may mend; 5xx will not, except a login that somebody may put right."""
    return Fate.GIVE_UP if code >= 500 and code not in (530, 534, 535, 538) else Fate.RETRY


def pause_s(tried: int, chance: float, wished_s: int | None = None) -> int | None:
    """Seconds from the ``tried``-th failed try (1 is the first) to the next; ``None``: there is none.

    ``chance``: 0 to 1. ``wished_s``: what the receiver asks for.
    """
    if tried > len(SCHEDULE_S):
        return None
    planned = SCHEDULE_S[tried - 1]
    planned += int(planned * JITTER_PPM * chance) // 1_000_000
    return max(planned, min(wished_s or 0, LONGEST_S))
