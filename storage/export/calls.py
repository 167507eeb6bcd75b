"""One row a call, with everything that is kept of it but the raw usage; the cost also in USD."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from datetime import datetime
from types import UnionType
from typing import Any, get_args, get_type_hints

from sqlalchemy import Row

from storage.export.columns import Cells, Column, Kind, Shape
from storage.tables import CallFields

_KINDS = {str: Kind.TEXT, int: Kind.NUMBER, bool: Kind.TRUTH, datetime: Kind.TIME}
_LEFT_OUT = frozenset(("seq",))
"""The order of writing means nothing elsewhere."""
_COST = "cost_nano"


def _kind(hint: Any) -> Kind:
    if isinstance(hint, UnionType):
        hint = next(one for one in get_args(hint) if one is not type(None))
    return _KINDS.get(hint, Kind.JSON)


def _columns() -> tuple[Column, ...]:
    hints = get_type_hints(CallFields)
    return tuple(
        Column(name, _kind(hints[name])) for name in CallFields.model_fields if name not in _LEFT_OUT
    )


_STORED = _columns()
_take = operator.attrgetter(*[column.name for column in _STORED], _COST)


def _rows(row: Row[Any]) -> Iterable[Cells]:
    cells: Cells = _take(row)
    yield (str(cells[0]), *cells[1:])


CALLS_SHAPE = Shape(
    "calls",
    (*_STORED, Column("cost_usd", Kind.MONEY)),
    tuple(column.name for column in _STORED),
    _rows,
)
assert _STORED[0].name == "id"
