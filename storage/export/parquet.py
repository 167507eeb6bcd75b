"""Rows as Parquet: needs pyarrow, which comes with the extra ``export``."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from storage.export.columns import Cells, Column, Kind

GROUP_ROWS = 10_000
"""Rows of a row group: what is held in memory."""
_NANO_DIGITS = 9
_TYPES = {
    Kind.TEXT: pa.string(),
    Kind.NUMBER: pa.int64(),
    Kind.TRUTH: pa.bool_(),
    Kind.TIME: pa.timestamp("us", tz="UTC"),
    Kind.MONEY: pa.decimal128(38, _NANO_DIGITS),
    Kind.JSON: pa.string(),
}
_json = msgspec.json.Encoder().encode
_MADE: dict[Kind, Callable[[Any], Any]] = {
    Kind.MONEY: lambda nano: Decimal(nano).scaleb(-_NANO_DIGITS),
    Kind.JSON: lambda value: _json(value).decode(),
}


class ParquetEncoder:
    """Money is ``decimal(38, 9)``: exact. Lists and objects are JSON text."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._kinds = [column.kind for column in columns]
        self._schema = pa.schema([(column.name, _TYPES[column.kind]) for column in columns])
        self._out = io.BytesIO()
        self._writer = pq.ParquetWriter(self._out, self._schema, compression="zstd")
        self._held: list[Cells] = []

    def head(self) -> bytes:
        return self._taken()

    def rows(self, rows: Sequence[Cells]) -> bytes:
        self._held += rows
        if len(self._held) < GROUP_ROWS:
            return b""
        self._write()
        return self._taken()

    def tail(self) -> bytes:
        if self._held:
            self._write()
        self._writer.close()
        return self._taken()

    def _write(self) -> None:
        arrays = []
        for index, kind in enumerate(self._kinds):
            cells = [row[index] for row in self._held]
            make = _MADE.get(kind)
            if make is not None:
                cells = [None if cell is None else make(cell) for cell in cells]
            arrays.append(pa.array(cells, _TYPES[kind]))
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        self._held = []

    def _taken(self) -> bytes:
        """What was written since the last time. The writer counts its place itself, so the buffer can go."""
        data = self._out.getvalue()
        self._out.seek(0)
        self._out.truncate()
        return data
