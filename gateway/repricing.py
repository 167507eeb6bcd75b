"""The cost of a stored call by today's prices: what the record says of it, put to the price book once more."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from gateway.api.views import usage_of
from gateway.price_headers import RULES
from gateway.targets import region_of
from pricing.book import PriceBook, PriceQuery
from pricing.cost import INVALID_USAGE, NOT_BILLABLE, Cost, CostSource, CostStatus, added, at_least
from pricing.usage import NOTHING, Usage
from storage.rows import COST_COLUMNS
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
    model = _text(part.get("model"))
    return msgspec.structs.replace(
        main,
        model=model,
        asked=main.asked if part.get("within") and model == main.model else None,
        usage=msgspec.convert([part.get(name) for name in Usage.__struct_fields__], Usage),
        service_tier=_text(part.get("service_tier")) or main.service_tier,
        charge=None,
    )


def price_again(row: CallRow, book: PriceBook, price_as: Callable[[str], str]) -> Cost:
    """What the call would cost if it were recorded now."""
    if row.cost_status == CostStatus.NOT_BILLABLE:
        return NOT_BILLABLE
    if row.cost_status == CostStatus.INVALID_USAGE:
        return INVALID_USAGE
    if is_told(row):
        return recorded(row)  # no price list knows better, and what was told was not kept
    return summed(row, [book.price(query) for query in queries_of(row, price_as)])


def is_told(row: CallRow) -> bool:
    """Did the app tell the price?"""
    return (row.price_rule or "").startswith(RULES)


def recorded(row: CallRow) -> Cost:
    """The cost as it was recorded."""
    amounts = [getattr(row, column) for column in COST_COLUMNS.values()]
    return Cost(CostStatus(row.cost_status), CostSource(row.cost_source), *amounts)


def summed(row: CallRow, costs: Sequence[Cost]) -> Cost:
    """The cost of the parts of a call (:func:`queries_of`); a lower bound where fees were charged that nobody counted.

    Of older calls it is not kept whether there were: what was a lower bound stays one.
    """
    cost = costs[0] if len(costs) == 1 else added(costs)
    unseen = row.cost_status == CostStatus.PARTIAL if row.fees_unseen is None else row.fees_unseen
    return at_least(cost) if unseen else cost


def _object(text: str | None) -> Mapping[str, Any]:
    """The reported usage; nothing where it is not an object."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
