"""Silences: what is not told, until when, by whom and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from fnmatch import fnmatchcase

import msgspec


class Silence(msgspec.Struct, frozen=True):
    """Keeps back what fires and has every value of ``matchers`` (``*`` and ``?`` stand for anything)."""

    id: str
    matchers: tuple[tuple[str, str], ...]
    """Name of a label, or ``rule``, ``kind``, ``level``, ``severity``. Never empty."""
    starts: datetime
    until: datetime
    who: str
    why: str


def silenced_by(silences: Iterable[Silence], about: Mapping[str, str], now: datetime) -> Silence | None:
    """The first that holds now and matches; ``about``: labels and what else a matcher may name."""
    for silence in silences:
        if silence.starts <= now < silence.until and all(
            name in about and fnmatchcase(about[name], pattern) for name, pattern in silence.matchers
        ):
            return silence
    return None
