"""Is a new price snapshot fit to replace the present one? Pure: reads nothing, fetches nothing."""

from __future__ import annotations

import enum

import msgspec

from pricing.rates import Catalogue, Entry

MIN_KEPT_PERCENT = 80
MAX_MOVE = 10
"""A rate that rises or falls by more than this factor is taken for a mistake."""
MAX_LISTED = 50


class Concern(enum.StrEnum):
    """Why a snapshot is refused."""

    MODELS_LOST = "models_lost"
    RATE_MOVED = "rate_moved"
    EMPTY = "empty"


class Problem(msgspec.Struct, frozen=True):
    """One reason, in words."""

    concern: Concern
    message: str


class Review(msgspec.Struct, frozen=True):
    """What a new snapshot changes."""

    old: str
    new: str
    models_before: int
    models_after: int
    added: tuple[str, ...]
    """``provider/id`` of models only the new snapshot has, at most 50."""
    removed: tuple[str, ...]
    moved: tuple[str, ...]
    """Rates of the newest period that changed, in words, at most 50."""
    problems: tuple[Problem, ...]

    @property
    def acceptable(self) -> bool:
        """May it be installed without being forced?"""
        return not self.problems


def _entries(catalogue: Catalogue) -> dict[str, Entry]:
    return {f"{prices.id}/{entry.id}": entry for prices in catalogue.providers for entry in prices.entries}


def _rates(entry: Entry) -> dict[str, int]:
    """Rates of every period, keyed so that the same period of two snapshots can be compared."""
    found: dict[str, int] = {}
    for period in entry.periods:
        where = f"{period.since}/{period.window}/{period.weekdays}"
        for tier, rates in ((0, period.rates), *((tier.above, tier.rates) for tier in period.tiers)):
            for unit, rate in msgspec.structs.asdict(rates).items():
                if rate is not None:
                    found[f"{unit} {where} >{tier}"] = rate
    return found


def moved_too_far(before: int, after: int) -> bool:
    """Did a rate move by more than ``MAX_MOVE``? To or from nothing counts as well."""
    low, high = sorted((before, after))
    return high > low * MAX_MOVE


def review(old: Catalogue, new: Catalogue) -> Review:
    """Compares two snapshots: at least 80 % of the models kept, no rate moved more than tenfold."""
    before, after = _entries(old), _entries(new)
    removed = [name for name in before if name not in after]
    problems: list[Problem] = []
    moved: list[str] = []
    far: list[str] = []
    for name, entry in before.items():
        if (other := after.get(name)) is None or other.periods == entry.periods:
            continue
        rates = _rates(other)
        for key, rate in _rates(entry).items():
            now = rates.get(key)
            if now is not None and now != rate:
                change = f"{name} {key.split(' ')[0]}: {rate} -> {now} atto-USD"
                moved.append(change)
                if moved_too_far(rate, now):
                    far.append(change)
    if not after:
        problems.append(Problem(Concern.EMPTY, "the new snapshot holds no models"))
    elif (len(before) - len(removed)) * 100 < len(before) * MIN_KEPT_PERCENT:
        kept = len(before) - len(removed)
        problems.append(
            Problem(
                Concern.MODELS_LOST,
                f"it keeps {kept} of {len(before)} models; at least {MIN_KEPT_PERCENT} % are expected",
            )
        )
    if far:
        problems.append(
            Problem(
                Concern.RATE_MOVED,
                f"{len(far)} rates moved more than {MAX_MOVE}x, such as {'; '.join(far[:3])}",
            )
        )
    return Review(
        old.snapshot,
        new.snapshot,
        len(before),
        len(after),
        tuple(name for name in after if name not in before)[:MAX_LISTED],
        tuple(removed[:MAX_LISTED]),
        tuple(moved[:MAX_LISTED]),
        tuple(problems),
    )
