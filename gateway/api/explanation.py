"""How the cost of a stored call came about: reported usage, normal form, units times rates, total."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Final

from gateway.api.models import CostLineOut, ExplanationOut
from gateway.api.views import cost_out, counts_of, recorded_cost, usage_of
from gateway.repricing import is_told, queries_of, summed
from pricing.book import ExplainedLine, PriceBook
from pricing.cost import CostStatus
from pricing.units import table_size
from storage.tables import CallRow
from telemetry.record import UsageSource

_ATTO_DIGITS: Final = 18
_EXACT: Final = Context(prec=60)
_UNPRICED_NOTE: Final = (
    "Nothing was billed: the call failed, was refused, or is of a kind that costs nothing."
)
_COUNTED_NOTE: Final = (
    "The provider did not report all of the usage: what is missing was counted here, an estimate."
)
_PARTS_NOTE: Final = (
    "The provider billed further usage within this call; its lines follow those of the main usage."
)
_WITHIN_NOTE: Final = (
    "Its tokens have several prices (by model, tier or size of the prompt): they are paid for apart, in the lines that"
    " follow those of the sum."
)
_FEES_NOTE: Final = "Something was used whose charge the provider does not report: the cost is a lower bound."
_TOLD_NOTE: Final = "The app told the price of this call; the lines show what the price list would say."
_CHANGED_NOTE: Final = "Prices were changed since: the call would cost something else today."


def explanation_of(row: CallRow, book: PriceBook, price_as: Callable[[str], str]) -> ExplanationOut:
    """Prices the call again, line by line. ``price_as`` maps a provider's name to its id in the price book."""
    recorded = recorded_cost(row)
    usage = usage_of(row)
    out = ExplanationOut(
        id=str(row.id),
        provider=row.provider,
        model=row.response_model,
        asked_model=row.request_model,
        recorded=recorded,
        reported=row.usage_raw,
        counts=counts_of(usage),
        explained=recorded,
    )
    if row.cost_status == CostStatus.NOT_BILLABLE:
        return out.model_copy(update={"notes": [_UNPRICED_NOTE]})
    parts = [book.explain(query) for query in queries_of(row, price_as)]
    explanation = parts[0]
    cost = summed(row, [part.cost for part in parts])
    notes = list(explanation.notes)
    if row.usage_source == UsageSource.ESTIMATED:
        notes.append(_COUNTED_NOTE)
    if any(part.get("within") for part in row.usage_also or ()):
        notes.append(_WITHIN_NOTE)
    elif len(parts) > 1:
        notes.append(_PARTS_NOTE)
    told = is_told(row)
    if told:
        notes.append(_TOLD_NOTE)
    elif cost.total != row.cost_nano:
        notes.append(_CHANGED_NOTE)
    if row.fees_unseen and cost.status is CostStatus.PARTIAL:
        notes.append(_FEES_NOTE)
    since = None if told else explanation.rates_since
    return out.model_copy(
        update={
            "lines": [line_out(line, part.scale) for part in parts for line in part.lines],
            "explained": recorded if told else cost_out(cost),
            "rates_since": None if since is None else f"{datetime.fromtimestamp(since, UTC):%Y-%m-%d}",
            "rates_source": None if told else explanation.rates_source,
            "notes": notes,
        }
    )


def line_out(line: ExplainedLine, scale: int) -> CostLineOut:
    """One line; its amount is exact unless the unit is measured in milliseconds of an hour's rate."""
    per = table_size(line.unit)
    rate = None if line.rate is None else plain(Decimal(line.rate * per).scaleb(-_ATTO_DIGITS, _EXACT))
    amount = _EXACT.divide(Decimal(line.amount).scaleb(-_ATTO_DIGITS, _EXACT), Decimal(scale))
    return CostLineOut(
        unit=line.unit,
        component=line.component,
        quantity=line.quantity,
        rate=rate,
        per=per,
        amount_usd=plain(amount.quantize(Decimal(1).scaleb(-_ATTO_DIGITS), context=_EXACT)),
        note=line.note,
    )


def plain(amount: Decimal) -> str:
    """Without an exponent and without zeros at the end: ``0.0000015``."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
