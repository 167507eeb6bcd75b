"""What a call costs where the app has told a price that is believed.

Rates are told for the tokens of the model that was called. What other models did within the call, and searches, cost
what the price book says. Where that does not know, where a count is missing, or where fees were charged that nobody
counted, the cost is a lower bound. A total holds everything. A model is told to be priced in the place of the one that
was called.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.expense import WITHOUT_OUTPUT
from gateway.parts import part_query, undivided
from gateway.price_headers import MODEL_TOLD, RATES_TOLD, TOTAL_TOLD, PriceSaid
from gateway.wire.contract import Reading, Wire
from pricing.bill import round_exact
from pricing.book import PriceBook, PriceQuery
from pricing.cost import Cost, CostSource, CostStatus, added, at_least
from pricing.units import ATTO_PER_NANO
from pricing.usage import Part, Usage


def told_cost(
    book: PriceBook, query: PriceQuery, wire: Wire | None, reading: Reading, said: PriceSaid
) -> Cost | None:
    """``None`` where what was said tells no cost. ``query`` asks for what the call would cost by the price book."""
    if said.total is not None:
        total = said.total
        return Cost(CostStatus.PRICED, CostSource.OVERRIDE, total, 0, 0, 0, 0, total, None, TOTAL_TOLD)
    usage = query.usage
    if usage is None or said.rate_in is None or said.rate_out is None:
        cost = None if said.model is None else _as_model(book, query, reading.also, said.model)
    elif usage.input is None and usage.output is None:
        cost = None
    else:
        own, others = _shares(query, usage, reading.also)
        tokens = _by_rates(own, said.rate_in, said.rate_out, wire, estimated=query.estimated)
        cost = added([tokens, *map(book.price, others)])
    return at_least(cost) if cost is not None and reading.fees_unseen else cost


def _as_model(book: PriceBook, query: PriceQuery, also: Sequence[Part], model: str) -> Cost | None:
    """The price of another model for all that the one that was called did; ``None`` where nobody knows it."""
    if query.usage is None and query.charge is None:
        return None
    as_told = msgspec.structs.replace(query, model=model)
    ours = (query.model, query.asked)
    parts = [msgspec.structs.replace(part, model=model) if part.model in ours else part for part in also]
    costs = [book.price(as_told), *[book.price(part_query(as_told, part)) for part in parts]]
    if costs[0].total is None:
        return None
    cost = added(costs)
    return msgspec.structs.replace(cost, rule=f"{MODEL_TOLD}: {cost.rule}")


def _shares(query: PriceQuery, usage: Usage, also: Sequence[Part]) -> tuple[list[Usage], list[PriceQuery]]:
    """What the model that was called did, and what has a price of its own."""
    beside = [part for part in also if not part.within]
    ours = (query.model, query.asked)
    own = [undivided(usage, also), *[part.usage for part in beside if part.model in ours]]
    others = [part_query(query, part) for part in beside if part.model not in ours]
    web, files = sum(one.web_searches or 0 for one in own), sum(one.file_searches or 0 for one in own)
    if web or files:
        searches = Usage(0, 0, web_searches=web, file_searches=files)
        others.append(msgspec.structs.replace(query, usage=searches, charge=None))
    return own, others


def _by_rates(own: list[Usage], rate_in: int, rate_out: int, wire: Wire | None, *, estimated: bool) -> Cost:
    """Tokens at atto-USD each; what the provider does not charge for is not charged here either."""
    asked = [one.input if one.billed_input is None else one.billed_input for one in own]
    made = [one.output if one.billed_output is None else one.billed_output for one in own]
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
