"""What an export consists of: columns of a kind, and how a call becomes rows of them."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Row

Cells = tuple[Any, ...]
"""One row of a file: values as :class:`Kind` says, ``None`` for what is not known."""


class Kind(enum.Enum):
    """What the cells of a column are."""

    TEXT = enum.auto()
    NUMBER = enum.auto()
    """``int``."""
    TRUTH = enum.auto()
    TIME = enum.auto()
    """Aware ``datetime``."""
    MONEY = enum.auto()
    """``int``, nano-USD; a file shows USD as exact decimal text."""
    JSON = enum.auto()
    """Lists and objects."""


class Column(msgspec.Struct, frozen=True):
    """Name and kind."""

    name: str
    kind: Kind


class Shape(msgspec.Struct, frozen=True):
    """One way to write calls down."""

    name: str
    columns: tuple[Column, ...]
    selects: tuple[str, ...]
    """Columns of ``model_requests`` that :attr:`rows` needs."""
    rows: Callable[[Row[Any]], Iterable[Cells]]
    """The rows of one call."""
    leaves_out_unpriced: bool = False
    """Calls whose cost is not known have no place in it."""


def cells_of(shape: Shape, found: Sequence[Row[Any]]) -> list[Cells]:
    """The rows of a page of calls."""
    return [cells for row in found for cells in shape.rows(row)]
