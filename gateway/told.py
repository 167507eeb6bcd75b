"""What a call costs where the app has told a price that is believed.

Rates are told for the tokens of the model that was called. What other models did within the call, and searches, cost
what the price book says. Where that does not know, where a count is missing, or where fees were charged that nobody
counted, the cost is a lower bound. A total holds everything. A model is told to be priced in the place of the one that
was called.
"""

from __future__ import annotations

import msgspec

from gateway.call import Call
from gateway.expense import WITHOUT_OUTPUT
from gateway.parts import part_query
from gateway.price_headers import MODEL_TOLD, RATES_TOLD, TOTAL_TOLD, PriceSaid
from gateway.wire.contract import Reading
from pricing.bill import round_exact
from pricing.book import PriceBook, PriceQuery
from pricing.cost import Cost, CostSource, CostStatus, added, at_least
from pricing.units import ATTO_PER_NANO
from pricing.usage import Usage


def told_cost(
    book: PriceBook, call: Call, reading: Reading, said: PriceSaid, *, estimated: bool
) -> Cost | None:
    """``None`` where what was said tells no cost. ``estimated``: the counts are ours or a lower bound."""
    if said.total is not None:
        total = said.total
        return Cost(CostStatus.PRICED, CostSource.OVERRIDE, total, 0, 0, 0, 0, total, None, TOTAL_TOLD)
    usage = reading.usage
    if said.rate_in is None or said.rate_out is None or usage is None:
        return None if said.model is None else _as_model(book, call, reading, said.model, estimated=estimated)
    if usage.input is None and usage.output is None:
        return None
    own = [_whole(usage) if any(part.within for part in reading.also) else usage]
    costs = []
    for part in reading.also:
        if part.model in (reading.model, call.ask.model):
            own += [] if part.within else [part.usage]
        elif not part.within:
            costs.append(book.price(part_query(call, reading, part)))
    searches = Usage(
        0,
        0,
        web_searches=sum(one.web_searches or 0 for one in own),
        file_searches=sum(one.file_searches or 0 for one in own),
    )
    if searches.web_searches or searches.file_searches:
        costs.append(book.price(_query(call, reading, searches)))
    cost = added([_by_rates(call, own, said.rate_in, said.rate_out, estimated=estimated), *costs])
    return at_least(cost) if reading.fees_unseen else cost


def _as_model(book: PriceBook, call: Call, reading: Reading, model: str, *, estimated: bool) -> Cost | None:
    """The price of another model for all that the one that was called did."""
    if reading.usage is None and reading.charge is None:
        return None
    query = _query(call, msgspec.structs.replace(reading, model=model), reading.usage)
    queries = [msgspec.structs.replace(query, charge=reading.charge, estimated=estimated)]
    for part in reading.also:
        own = part.model in (reading.model, call.ask.model)
        queries.append(part_query(call, reading, msgspec.structs.replace(part, model=model) if own else part))
    cost = added([book.price(query) for query in queries])
    cost = msgspec.structs.replace(cost, rule=f"{MODEL_TOLD}: {cost.rule}")
    return at_least(cost) if reading.fees_unseen else cost


def _whole(usage: Usage) -> Usage:
    """All of what is otherwise paid for by its parts."""
    return Usage(
        usage.input, usage.output, web_searches=usage.web_searches, file_searches=usage.file_searches
    )


def _by_rates(call: Call, own: list[Usage], rate_in: int, rate_out: int, *, estimated: bool) -> Cost:
    """Tokens at atto-USD each; what the provider does not charge for is not charged here either."""
    asked = [one.input if one.billed_input is None else one.billed_input for one in own]
    made = [one.output if one.billed_output is None else one.billed_output for one in own]
    wire = call.target.wire
    if wire is not None and wire.operation in WITHOUT_OUTPUT:
        made = [count or 0 for count in made]
    missing = (rate_in and None in asked) or (rate_out and None in made)
    status = CostStatus.ESTIMATED if estimated else CostStatus.PRICED
    exact = [sum(count or 0 for count in asked) * rate_in, sum(count or 0 for count in made) * rate_out]
    total, (new, out, *_) = round_exact([*exact, 0, 0, 0], ATTO_PER_NANO)
    return Cost(
        CostStatus.PARTIAL if missing else status,
        CostSource.OVERRIDE,
        total,
        new,
        out,
        0,
        0,
        0,
        None,
        RATES_TOLD,
    )


def _query(call: Call, reading: Reading, usage: Usage | None) -> PriceQuery:
    return PriceQuery(
        call.target.provider.price_as,
        reading.model,
        call.ask.model,
        usage,
        call.started_ns,
        reading.service_tier,
        reading.speed,
        reading.geo,
        call.target.region,
    )
