"""An export as a stream of bytes, whatever the kind of file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from storage.export.calls import CALLS_SHAPE
from storage.export.columns import Shape, cells_of
from storage.export.encoders import CsvEncoder, Encoder, Format, JsonLinesEncoder
from storage.export.focus import FOCUS_SHAPE
from storage.export.read import CallPages
from storage.queries.calls import CallFilter

EXPORTS = "exports"
"""Folder within the data folder where files go that nobody names a place for."""
SHAPES = {shape.name: shape for shape in (CALLS_SHAPE, FOCUS_SHAPE)}


class NoParquet(Exception):  # noqa: N818
    """pyarrow is not installed."""


def encoder_of(kind: Format, shape: Shape) -> Encoder:
    """Raises :class:`NoParquet`."""
    if kind is Format.CSV:
        return CsvEncoder(shape.columns)
    if kind is Format.JSONL:
        return JsonLinesEncoder(shape.columns)
    try:
        from storage.export.parquet import ParquetEncoder
    except ImportError as error:
        raise NoParquet("Parquet needs pyarrow, which is not installed") from error
    return ParquetEncoder(shape.columns)


async def exported(
    source: CallPages,
    wanted: CallFilter,
    shape: Shape,
    encoder: Encoder,
    done: Callable[[int], None] = lambda calls: None,
) -> AsyncGenerator[bytes, None]:
    """The file, piece by piece. ``done`` hears how many calls were written since it was asked last.

    Encoding runs in a thread: whoever else lives on this event loop goes on.
    """
    yield await asyncio.to_thread(encoder.head)
    async for page in source.pages(wanted, shape):
        piece = await asyncio.to_thread(lambda found: encoder.rows(cells_of(shape, found)), page)
        if piece:
            yield piece
        done(len(page))
    yield await asyncio.to_thread(encoder.tail)
