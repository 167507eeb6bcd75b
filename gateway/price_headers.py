"""What an app says its call costs: believed only where the settings say so (``pricing.trust_headers``).

``cf-aig-custom-cost`` holds ``per_token_in`` and ``per_token_out``, or ``total_cost``, in USD; ``helicone-model-override``
names the model to price by. Both address a gateway and never go upstream.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec

COST: Final = b"cf-aig-custom-cost"
MODEL: Final = b"helicone-model-override"
NAMES: Final = frozenset((COST, MODEL))
RATES_TOLD: Final = "rates told by the app"
TOTAL_TOLD: Final = "total told by the app"
MODEL_TOLD: Final = "model told by the app"
RULES: Final = (RATES_TOLD, TOTAL_TOLD, MODEL_TOLD)
"""How the rule of such a cost begins."""
_ATTO: Final = 18
_NANO: Final = 9
_MOST: Final = Decimal(10**6)
"""USD; more than this is a mistake."""


class PriceSaid(msgspec.Struct, frozen=True, gc=False):
    """What the app said. Rates are atto-USD per token, ``total`` is nano-USD."""

    model: str | None = None
    rate_in: int | None = None
    rate_out: int | None = None
    total: int | None = None


def price_said(labels: Mapping[bytes, bytes]) -> PriceSaid | None:
    """What these headers say; nothing where they say nothing that can be understood."""
    model = labels.get(MODEL, b"").decode("utf-8", "replace").strip()[:256] or None
    rate_in = rate_out = total = None
    if COST in labels:
        try:
            told = json.loads(labels[COST][:1024], parse_float=Decimal, parse_int=Decimal)
        except (ValueError, ArithmeticError, RecursionError):
            told = None
        if isinstance(told, dict):
            rate_in = _amount(told.get("per_token_in"), _ATTO)
            rate_out = _amount(told.get("per_token_out"), _ATTO)
            total = _amount(told.get("total_cost"), _NANO)
    if model is None and total is None and (rate_in is None or rate_out is None):
        return None
    return PriceSaid(model, rate_in, rate_out, total)


def _amount(told: object, digits: int) -> int | None:
    """USD as whole units of 10 ** -digits; ``None`` for what is no amount or has more digits."""
    if not isinstance(told, Decimal) or not told.is_finite() or not 0 <= told <= _MOST:
        return None
    if told and told.adjusted() < -digits:
        return None
    scaled = told.scaleb(digits)
    return int(scaled) if scaled == scaled.to_integral_value() else None
