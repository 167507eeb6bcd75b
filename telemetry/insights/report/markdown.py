"""A report as Markdown (GitHub's, which mail programs and chats read as well)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from telemetry.insights.numbers import one_line
from telemetry.insights.report.blocks import (
    Bar,
    Bars,
    Block,
    Column,
    Heading,
    Items,
    Page,
    Paragraph,
    Table,
    Tiles,
)

_SPECIAL: Final = re.compile(r"([\\`*_\[\]<>|~&]|(?<=:)/(?=/)|(?<=www)\.)")
_LONGEST_BAR: Final = 24
_PPM: Final = 1_000_000
_NAME: Final = Column("", number=False)


def rendered(page: Page) -> str:
    """The whole text."""
    lines = [f"# {escaped(page.title)}", "", escaped(page.subtitle), ""]
    for block in page.blocks:
        lines += [*_lines(block), ""]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Text that means itself: no markup, no links, no HTML, one line."""
    return _SPECIAL.sub(r"\\\1", one_line(text))


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Heading():
            yield f"## {escaped(block.text)}"
        case Paragraph():
            yield f"*{escaped(block.text)}*" if block.quiet else escaped(block.text)
        case Tiles():
            columns = (_NAME, Column(""), Column("Change"), _NAME)
            yield from _table(columns, ((one.label, one.value, one.change, one.note) for one in block.tiles))
        case Table():
            yield from _table(block.columns, block.rows)
        case Bars():
            columns = (_NAME, Column("Spent"), _NAME, _NAME)
            yield from _table(columns, ((one.label, one.value, _bar(one), one.note) for one in block.bars))
        case Items():
            for number, one in enumerate(block.items, 1):
                yield f"{number}. **{escaped(one.title)}**. {escaped(one.text)} *{escaped(one.note)}*"


def _bar(bar: Bar) -> str:
    return "█" * round(bar.share_ppm * _LONGEST_BAR / _PPM)


def _table(columns: Iterable[Column], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    columns = tuple(columns)
    yield _row(column.title for column in columns)
    yield _row("---:" if column.number else "---" for column in columns)
    for row in rows:
        yield _row(escaped(cell) for cell in row)


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
