"""Rows as bytes: CSV and JSON Lines. (Parquet: :mod:`storage.export.parquet`.)"""

from __future__ import annotations

import csv
import enum
import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from pricing.cost import format_usd
from storage.export.columns import Cells, Column, Kind

_FORMULA = frozenset("=+-@\t\r\n＝＋－＠")
"""First characters that make a spreadsheet take a text for a formula or a command."""
_json = msgspec.json.Encoder().encode


class Format(enum.StrEnum):
    """Kinds of files."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


MEDIA_TYPES = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.JSONL: "application/x-ndjson",
    Format.PARQUET: "application/vnd.apache.parquet",
}


class Encoder(Protocol):
    """One file on its way out. Each method returns the bytes that are ready."""

    def head(self) -> bytes: ...

    def rows(self, rows: Sequence[Cells]) -> bytes: ...

    def tail(self) -> bytes: ...


class CsvEncoder:
    """RFC 4180; money as decimal text, times as ISO 8601, nothing for what is not known.

    A text that a spreadsheet would run as a formula gets an apostrophe before it.
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._show = [_SHOWN[column.kind] for column in columns]

    def head(self) -> bytes:
        return _lines([[column.name for column in self._columns]])

    def rows(self, rows: Sequence[Cells]) -> bytes:
        return _lines(
            [
                ["" if cell is None else show(cell) for show, cell in zip(self._show, row, strict=True)]
                for row in rows
            ]
        )

    def tail(self) -> bytes:
        return b""


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode("utf-8", "replace")


def harmless(text: str) -> str:
    """The text, with an apostrophe before what a spreadsheet would take for a formula."""
    return f"'{text}" if text and (text[0] in _FORMULA or text.lstrip()[:1] in _FORMULA) else text


def moment(at: datetime) -> str:
    """ISO 8601 in UTC with ``Z``; fractions of a second only where there are any."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


_SHOWN: dict[Kind, Callable[[Any], str]] = {
    Kind.TEXT: lambda cell: harmless(str(cell)),
    Kind.NUMBER: str,
    Kind.TRUTH: lambda cell: "true" if cell else "false",
    Kind.TIME: moment,
    Kind.MONEY: format_usd,
    Kind.JSON: lambda cell: _json(cell).decode(),
}


class JsonLinesEncoder:
    """One object a line; money as decimal text, lists and objects as they are, ``null`` for what is not known."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._names = [column.name for column in columns]
        self._as_text = [_TEXTUAL.get(column.kind) for column in columns]

    def head(self) -> bytes:
        return b""

    def rows(self, rows: Sequence[Cells]) -> bytes:
        return b"".join(
            _json(
                {
                    name: cell if show is None or cell is None else show(cell)
                    for name, show, cell in zip(self._names, self._as_text, row, strict=True)
                }
            )
            + b"\n"
            for row in rows
        )

    def tail(self) -> bytes:
        return b""


_TEXTUAL: dict[Kind, Callable[[Any], str]] = {Kind.MONEY: format_usd, Kind.TIME: moment}
