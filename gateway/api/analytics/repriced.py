"""What calls cost by later prices, told beside every sum of what was recorded."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Annotated, Final

from pydantic import BaseModel, Field

from gateway.api.analytics.asking import stamp
from gateway.api.models import MoneyOut
from gateway.api.views import money
from storage.queries.analytics.repriced import MOST_READ, Later, Repriced
from storage.rollups.dimensions import Group

TOO_MUCH: Final = (
    f"More than {MOST_READ:,} calls cost something else by later prices: take a shorter period, or filter."
)


class RepricedSumOut(BaseModel):
    """What later prices change (weighbridge prices reprice); cost stays what was recorded."""

    calls: int = Field(description="Calls whose cost is another one by later prices, or known by them alone.")
    unpriced_calls: int = Field(description="Of them, calls recorded without a known cost.")
    estimated_calls: int = Field(description="Of them, calls whose later cost is an estimate.")
    partial_calls: int = Field(description="Of them, calls whose later cost is a lower bound.")
    delta: MoneyOut = Field(description="To be added to cost; negative where calls cost less.")
    since: str | None = Field(
        description="Of calls since then: earlier ones are deleted. null: of the whole period."
    )


Beside = Annotated[
    RepricedSumOut | None,
    Field(
        description="What later prices change. null: nothing, of the calls that are kept; or those that changed are too"
        " many to be read, which repriced_missing says of the period, and nothing of the one before."
    ),
]
Missing = Annotated[
    str | None,
    Field(description="Why repriced is null throughout the period although calls were priced again."),
]


class RepricedSums:
    """An answer by group."""

    def __init__(self, later: Later) -> None:
        self._later = later
        self._lines = {line.key: line for line in later.lines}

    @property
    def total(self) -> RepricedSumOut | None:
        """All groups together."""
        return self._sum(self._lines.values())

    def group(self, key: Group) -> RepricedSumOut | None:
        """One of them."""
        line = self._lines.get(key)
        return None if line is None else self._sum([line])

    def others(self, named: Container[Group]) -> RepricedSumOut | None:
        """All but those."""
        return self._sum(line for key, line in self._lines.items() if key not in named)

    def _sum(self, of: Iterable[Repriced]) -> RepricedSumOut | None:
        lines = list(of)
        if not lines:
            return None
        return RepricedSumOut(
            calls=sum(line.calls for line in lines),
            unpriced_calls=sum(line.unpriced_calls for line in lines),
            estimated_calls=sum(line.estimated_calls for line in lines),
            partial_calls=sum(line.partial_calls for line in lines),
            delta=money(sum(line.delta_nano for line in lines)),
            since=None if self._later.since is None else stamp(self._later.since),
        )


def missing_of(later: Later) -> str | None:
    """Why it tells nothing, of the period itself."""
    return TOO_MUCH if later.is_too_much else None
