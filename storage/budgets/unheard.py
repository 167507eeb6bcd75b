"""Values that a scope names and no call says: most likely apps spell them otherwise, and the budget counts nothing."""

from __future__ import annotations

from typing import Final

import msgspec

from storage.budgets.amounts import column_of
from storage.budgets.model import EVERY, Budget
from storage.control.contract import ControlDatabase

LOOKED_AT: Final = 10_000
"""The latest calls."""
_MODEL: Final = "model"


class Unheard(msgspec.Struct, frozen=True):
    """A value of a scope that none of the latest calls says."""

    dimension: str
    value: str
    calls: int
    """How many were looked at; never 0."""
    said: tuple[str, ...]
    """What they say under that dimension."""
    asked: tuple[str, ...] = ()
    """Names that were asked for where the model of the scope answered."""


async def unheard(db: ControlDatabase, budget: Budget) -> list[Unheard]:
    """Nothing where there are no calls yet: then nobody can know."""
    found = []
    for dimension, value in budget.scope:
        if value == EVERY:
            continue
        column = column_of(dimension, db.engine)
        latest = (
            f"SELECT {column} AS said, response_model FROM model_requests ORDER BY seq DESC LIMIT {LOOKED_AT}"
        )
        if dimension == _MODEL:
            query = f"SELECT said, response_model, COUNT(*) FROM ({latest}) AS latest GROUP BY said, response_model"
        else:
            query = f"SELECT said, NULL, COUNT(*) FROM ({latest}) AS latest GROUP BY said"
        rows = await db.fetch(query)
        calls = sum(int(count) for _, _, count in rows)
        said = {str(name) for name, _, _ in rows if name is not None}
        if calls and value not in said:
            asked = {str(name) for name, answered, _ in rows if name is not None and answered == value}
            found.append(Unheard(dimension, value, calls, tuple(sorted(said)), tuple(sorted(asked))))
    return found
