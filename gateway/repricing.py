"""The cost of a stored call by today's prices: what the record says of it, put to the price book once more."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from gateway.api.views import usage_of
from gateway.parts import part_query
from gateway.price_headers import RULES
from gateway.targets import region_of
from pricing.book import PriceBook, PriceQuery
from pricing.cost import INVALID_USAGE, NOT_BILLABLE, Cost, CostSource, CostStatus, added, at_least
from pricing.usage import NOTHING, Part, Usage
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
    return [main, *[part_query(main, _part(stored)) for stored in row.usage_also or []]]


def _part(stored: Mapping[str, object]) -> Part:
    usage = msgspec.convert([stored.get(name) for name in Usage.__struct_fields__], Usage)
    tier = _text(stored.get("service_tier"))
    return Part(_text(stored.get("model")) or "", usage, tier, bool(stored.get("within")))


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
    """Did the app tell the price? Where it told to price by a model that nobody knew, it told none."""
    return row.cost_nano is not None and (row.price_rule or "").startswith(RULES)


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
