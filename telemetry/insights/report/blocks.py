"""What a report is made of before it is Markdown or HTML: texts are plain, each format escapes them its own way."""

from __future__ import annotations

import enum

import msgspec


class Tone(enum.StrEnum):
    """How a change is meant."""

    GOOD = "good"
    BAD = "bad"
    NEUTRAL = "neutral"


class Tile(msgspec.Struct, frozen=True):
    """One figure, what it changed, and what there is to say of it."""

    label: str
    value: str
    change: str = ""
    tone: Tone = Tone.NEUTRAL
    note: str = ""


class Tiles(msgspec.Struct, frozen=True):
    """Figures beside each other."""

    tiles: tuple[Tile, ...]


class Heading(msgspec.Struct, frozen=True):
    """Begins a section."""

    text: str


class Paragraph(msgspec.Struct, frozen=True):
    """``quiet``: small print."""

    text: str
    quiet: bool = False


class Column(msgspec.Struct, frozen=True):
    """Numbers stand at the right."""

    title: str
    number: bool = True


class Table(msgspec.Struct, frozen=True):
    """Every row has a cell for each column."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]


class Bar(msgspec.Struct, frozen=True):
    """``share_ppm``: length, of the longest one there could be."""

    label: str
    share_ppm: int
    value: str
    note: str = ""


class Bars(msgspec.Struct, frozen=True):
    """One below the other."""

    bars: tuple[Bar, ...]


class Item(msgspec.Struct, frozen=True):
    """A heading of its own, a text, and small print."""

    title: str
    text: str
    note: str = ""


class Items(msgspec.Struct, frozen=True):
    """A list."""

    items: tuple[Item, ...]


Block = Tiles | Heading | Paragraph | Table | Bars | Items


class Page(msgspec.Struct, frozen=True):
    """A whole report."""

    title: str
    subtitle: str
    summary: tuple[str, ...]
    """A few lines that say the most important, for where there is no room for more."""
    blocks: tuple[Block, ...]
