"""Charges that providers report themselves, into nano-USD, exactly."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from pricing.cost import NANO_PER_USD

MOST_USD = 1_000_000
"""A charge above this for one call is a mistake, not a charge."""


def nano_usd(amount: object, units_per_usd: int = 1) -> int | None:
    """nano-USD of ``amount / units_per_usd`` USD, half to even; ``None`` for anything that is no plain amount.

    ``amount`` comes from a decoder that turns decimals into ``Decimal``.
    """
    if type(amount) is not int and type(amount) is not Decimal:
        return None
    if type(amount) is Decimal and not amount.is_finite():
        return None
    if not 0 <= amount <= MOST_USD * units_per_usd:
        return None
    nano = Decimal(amount) * NANO_PER_USD / units_per_usd
    return int(nano.to_integral_value(ROUND_HALF_EVEN))
