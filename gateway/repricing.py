"""The cost of a stored call by today's prices: what the record says of it, put to the price book once more."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from gateway.api.views import usage_of
from gateway.targets import region_of
from pricing.book import PriceBook, PriceQuery
from pricing.cost import INVALID_USAGE, NOT_BILLABLE, Cost, CostSource, CostStatus, added
from pricing.usage import NOTHING, Usage
from storage.tables import CallRow


def queries_of(row: CallRow, price_as: Callable[[str], str]) -> list[PriceQuery]:
    """What has to be priced of a call: its usage, and then whatever was billed beside it.

    ``price_as`` maps a provider's name to its id in the price book.
    """
    provider, raw, usage = price_as(row.provider), _object(row.usage_raw), usage_of(row)
    batch = row.operation == "background_job" and row.service_tier == "batch"
    main = PriceQuery(
        provider,
        row.response_model,
        row.request_model,
        None if usage == NOTHING else usage,
        row.started_ns,
        None if batch else row.service_tier,
        _text(raw.get("speed")),
        _text(raw.get("inference_geo")),
        region_of(row.path),
        row.cost_nano if row.cost_source == CostSource.PROVIDER else None,
        row.cost_status == CostStatus.ESTIMATED or row.usage_source == "estimated",
        batch,
    )
    return [main, *[_part(main, part) for part in row.usage_also or []]]


def _part(main: PriceQuery, part: Mapping[str, object]) -> PriceQuery:
    counts = {name: count for name, count in part.items() if name != "model"}
    model = _text(part.get("model"))
    return msgspec.structs.replace(
        main, model=model, asked=None, usage=msgspec.convert(_positions(counts), Usage), charge=None
    )


def _positions(counts: Mapping[str, object]) -> list[object]:
    return [counts.get(name) for name in Usage.__struct_fields__]


def price_again(row: CallRow, book: PriceBook, price_as: Callable[[str], str]) -> Cost:
    """What the call would cost if it were recorded now."""
    if row.cost_status == CostStatus.NOT_BILLABLE:
        return NOT_BILLABLE
    if row.cost_status == CostStatus.INVALID_USAGE:
        return INVALID_USAGE
    costs = [book.price(query) for query in queries_of(row, price_as)]
    return costs[0] if len(costs) == 1 else added(costs)


def _object(text: str | None) -> Mapping[str, Any]:
    """The reported usage; nothing where it is not an object."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
