"""A report as one HTML page that needs nothing else: no script, no font, no picture, no address.

Mail programs show it too: the chart is made of table cells, and what they drop of the style leaves it readable.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator
from typing import Final

from telemetry.insights.numbers import one_line
from telemetry.insights.report.blocks import (
    Bar,
    Bars,
    Block,
    Heading,
    Item,
    Items,
    Page,
    Paragraph,
    Table,
    Tile,
    Tiles,
    Tone,
)

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6878; --line: #dfe4ea; --paper: #ffffff;
  --ground: #f3f5f8; --bar: #3b6fd4; --odd: #d97a1d; --good: #1b7f4b; --bad: #b3372f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa6b6; --line: #2c3542; --paper: #171d26;
  --ground: #0f141b; --bar: #6d9bf1; --odd: #eda04f; --good: #5cc48e; --bad: #ee7f76; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 2rem 1rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 2.25rem; background: var(--paper);
  border: 1px solid var(--line); border-radius: 10px; }
h1 { margin: 0; font-size: 1.6rem; line-height: 1.25; }
h2 { margin: 2.2rem 0 .7rem; font-size: 1.1rem; }
p { margin: .6rem 0; }
.soft { color: var(--soft); font-size: .87rem; }
.tiles { display: grid; grid-template-columns: repeat(3, 1fr); gap: .75rem; margin-top: 1.4rem; }
.tile { border: 1px solid var(--line); border-radius: 8px; padding: .7rem .9rem; }
.tile b { display: block; font-size: 1.35rem; line-height: 1.35; font-variant-numeric: tabular-nums; }
.good { color: var(--good); } .bad { color: var(--bad); }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; font-size: .8rem; font-weight: 600; color: var(--soft); }
th, td { padding: .38rem .9rem .38rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; }
.number { text-align: right; white-space: nowrap; }
th:first-child { width: 34%; }
td:first-child { min-width: 7rem; overflow-wrap: anywhere; }
.bars td { border: 0; padding: .14rem .9rem .14rem 0; white-space: nowrap; }
.bars .space { width: 100%; min-width: 7rem; }
.bar { height: .95rem; min-width: 2px; border-radius: 3px; background: var(--bar); }
.odd .bar { background: var(--odd); }
li { margin: .8rem 0; }
@media (max-width: 40rem) { body { padding: 0; } main { padding: 1.3rem 1rem; border: 0; border-radius: 0; }
  .tiles { grid-template-columns: repeat(2, 1fr); } }
@media print { body { background: none; padding: 0; } main { border: 0; padding: 0; } h2, .tile { break-inside: avoid; } }
"""
_SOFT: Final = ' class="soft"'
_NUMBER: Final = ' class="number"'
_ODD: Final = ' class="odd"'
_TONES: Final = {Tone.GOOD: ' class="good"', Tone.BAD: ' class="bad"', Tone.NEUTRAL: ""}


def rendered(page: Page) -> str:
    """The whole document."""
    body = "\n".join(line for block in page.blocks for line in _lines(block))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(page.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{escaped(page.title)}</h1>\n<p class="soft">{escaped(page.subtitle)}</p>\n{body}\n</main>\n</body>\n</html>\n'
    )


def escaped(text: str) -> str:
    """Text that means itself, on one line."""
    return html.escape(one_line(text))


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Heading():
            yield f"<h2>{escaped(block.text)}</h2>"
        case Paragraph():
            yield f"<p{_SOFT if block.quiet else ''}>{escaped(block.text)}</p>"
        case Tiles():
            yield f'<div class="tiles">{"".join(map(_tile, block.tiles))}</div>'
        case Table():
            yield from _table(block)
        case Bars():
            yield f'<div class="scroll"><table class="bars">{"".join(map(_bar, block.bars))}</table></div>'
        case Items():
            yield f"<ol>{''.join(map(_item, block.items))}</ol>"


def _tile(tile: Tile) -> str:
    change = f"<span{_TONES[tile.tone]}>{escaped(tile.change)}</span>" if tile.change else ""
    note = f"<div{_SOFT}>{escaped(tile.note)}</div>" if tile.note else ""
    label = f"<span{_SOFT}>{escaped(tile.label)}</span>"
    return f'<div class="tile">{label} <b>{escaped(tile.value)}</b> {change}{note}</div>\n'


def _table(block: Table) -> Iterator[str]:
    kinds = [_NUMBER if column.number else "" for column in block.columns]
    titles = zip(kinds, (column.title for column in block.columns), strict=True)
    yield f'<div class="scroll"><table>\n<thead><tr>{_cells("th", titles)}</tr></thead>\n<tbody>'
    for row in block.rows:
        yield f"<tr>{_cells('td', zip(kinds, row, strict=True))}</tr>"
    yield "</tbody>\n</table></div>"


def _cells(tag: str, cells: Iterable[tuple[str, str]]) -> str:
    return "".join(f"<{tag}{kind}>{escaped(text)}</{tag}>" for kind, text in cells)


def _bar(bar: Bar) -> str:
    width = f"{bar.share_ppm // 10_000}.{bar.share_ppm // 1_000 % 10}"
    return (
        f"<tr{_ODD if bar.note else ''}><td{_SOFT}>{escaped(bar.label)}</td>"
        f'<td class="space"><div class="bar" style="width:{width}%"></div></td>'
        f"<td{_NUMBER}>{escaped(bar.value)}</td><td{_SOFT}>{escaped(bar.note)}</td></tr>\n"
    )


def _item(item: Item) -> str:
    note = f"<div{_SOFT}>{escaped(item.note)}</div>"
    return f"<li><b>{escaped(item.title)}</b><br>{escaped(item.text)}{note}</li>\n"
