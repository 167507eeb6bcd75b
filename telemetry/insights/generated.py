"""Spend as it might have been, to try forecasts and anomalies on. Pure: the same seed gives the same days."""

from __future__ import annotations

import math
import random
from typing import Final

import msgspec

DAY_NANO: Final = 100_000_000_000
"""A usual day: 100 USD."""
OFFICE_WEEK: Final = (1.0, 1.05, 1.1, 1.05, 0.95, 0.35, 0.25)
FLAT_WEEK: Final = (1.0,) * 7
WORKDAYS: Final = (1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0)
_DAY: Final = (
    0.10, 0.06, 0.05, 0.05, 0.06, 0.10, 0.25, 0.50, 0.90, 1.40, 1.70, 1.80,
    1.60, 1.60, 1.80, 1.80, 1.70, 1.50, 1.10, 0.80, 0.60, 0.45, 0.30, 0.18,
)  # fmt: skip


class Shape(msgspec.Struct, frozen=True):
    """What makes days differ. Shares are parts of the level; a series begins on a Monday."""

    name: str
    week: tuple[float, ...] = OFFICE_WEEK
    noise: float = 0.12
    growth: float = 0.0
    """A day, compounded."""
    drift: float = 0.0
    """By how much the level wanders a day."""
    step: float = 1.0
    """What the level is multiplied by after three fifths of the days."""
    wild: float = 0.0
    """Share of days that cost 4 to 15 times as much."""
    heavy: bool = False
    """Noise with heavy tails."""


SHAPES: Final = (
    Shape("office weeks"),
    Shape("workdays only", week=WORKDAYS),
    Shape("no weekly pattern", week=FLAT_WEEK),
    Shape("growing 0.4 % a day", growth=0.004),
    Shape("shrinking 0.4 % a day", growth=-0.004),
    Shape("a step to 2.5 times", step=2.5),
    Shape("a level that wanders", drift=0.04),
    Shape("wild days", wild=0.03),
    Shape("heavy tails", heavy=True),
)


def daily(shape: Shape, days: int, seed: int) -> list[int]:
    """nano-USD a day."""
    return _series(shape, days, seed, 1)


def hourly(shape: Shape, hours: int, seed: int) -> list[int]:
    """nano-USD an hour."""
    return _series(shape, hours, seed, len(_DAY))


def _series(shape: Shape, count: int, seed: int, a_day: int) -> list[int]:
    dice = random.Random(f"{shape.name} {seed} {a_day}")
    wandering, found = 0.0, []
    for place in range(count):
        day = place / a_day
        wandering += dice.gauss(0, shape.drift / math.sqrt(a_day))
        level = math.exp(shape.growth * day + wandering) * (shape.step if place >= 0.6 * count else 1.0)
        season = shape.week[int(day) % 7] * (_DAY[place % a_day] / sum(_DAY) if a_day > 1 else 1.0)
        noise = math.exp(shape.noise * _noise(dice, heavy=shape.heavy))
        wild = dice.uniform(4, 15) if dice.random() < shape.wild else 1.0
        found.append(round(DAY_NANO * level * season * noise * wild))
    return found


def _noise(dice: random.Random, *, heavy: bool) -> float:
    """Of variance 1 or, with heavy tails, Student's with three degrees of freedom (which has three times that)."""
    value = dice.gauss(0, 1)
    return value / math.sqrt(sum(dice.gauss(0, 1) ** 2 for _ in range(3)) / 3) if heavy else value
