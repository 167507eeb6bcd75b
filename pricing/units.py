"""The units that can carry a rate, and the component of a cost each belongs to."""

from __future__ import annotations

import enum

ATTO_PER_USD = 10**18
ATTO_PER_NANO = 10**9
MS_PER_HOUR = 3_600_000


class Component(enum.IntEnum):
    """Index of a cost component; ``Cost`` has a field of the same name for each."""

    INPUT = 0
    OUTPUT = 1
    CACHE_READ = 2
    CACHE_WRITE = 3
    OTHER = 4


COMPONENTS: tuple[str, ...] = ("input", "output", "cache_read", "cache_write", "other")
"""Component names by index."""

TOKEN_UNITS: tuple[str, ...] = (
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "input_audio",
    "output_audio",
    "cache_audio_read",
    "input_image",
    "output_image",
    "cache_image_read",
    "input_video",
    "output_video",
    "reasoning",
    "citation",
)
"""Rated per token. Price tables (overrides, corrections) give USD per million."""

COUNT_UNITS: tuple[str, ...] = (
    "web_search",
    "file_search",
    "search_unit",
    "page",
    "annotated_page",
    "image",
    "request",
)
"""Rated per piece. Price tables give USD per thousand."""

CHARACTER_UNIT = "character"
"""Rated per character. Price tables give USD per million."""

AUDIO_UNIT = "audio_hour"
"""Rated per hour of audio and counted in milliseconds: a rate per millisecond would not be a whole number."""

UNITS: tuple[str, ...] = (*TOKEN_UNITS, *COUNT_UNITS, CHARACTER_UNIT, AUDIO_UNIT)


def table_size(unit: str) -> int:
    """How many of ``unit`` a price table's figure is for: 1,000,000 tokens, 1,000 searches, 1 hour."""
    if unit == AUDIO_UNIT:
        return 1
    return 1_000 if unit in COUNT_UNITS else 1_000_000
