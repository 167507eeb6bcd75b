"""What a routed call would have cost on the model its app would have used: the same usage at that model's rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.call import Call
from gateway.parts import undivided
from pricing.book import PriceBook, PriceQuery
from pricing.cost import Cost, CostStatus
from pricing.names import canonical_provider
from pricing.usage import Part, Usage

FIRST_PARTIES: Final = ("openai", "anthropic", "google", "mistral", "x-ai", "deepseek", "cohere")
"""Whose models a bare name may be, where the provider that was called has none of that name."""
_COMPARABLE: Final = frozenset((CostStatus.PRICED, CostStatus.ESTIMATED))


def baseline_nano(
    book: PriceBook, call: Call, usage: Usage | None, also: Sequence[Part], cost: Cost
) -> int | None:
    """Nano-USD at list prices; ``None`` where either cost is not wholly known."""
    name = call.route.baseline_model
    if name is None:
        return None
    whole = None if usage is None else undivided(usage, also)
    return nano_on(book, name, call.target.provider.price_as, whole, cost, call.started_ns)


def nano_on(
    book: PriceBook, name: str, called: str, usage: Usage | None, cost: Cost, at_ns: int
) -> int | None:
    """The same for a model of that name.

    The name may be ``provider/model``; a bare one is looked for with the provider that was called (its id in the price
    book), then with the makers of models in a fixed order.
    """
    if usage is None or cost.status not in _COMPARABLE:
        return None
    for provider, model in _readings(called, name):
        found = book.price(PriceQuery(provider, model, None, usage, at_ns))
        if found.status in _COMPARABLE:
            return found.total
    return None


def _readings(called: str, name: str) -> list[tuple[str, str]]:
    owner, slash, model = name.partition("/")
    named = [(canonical_provider(owner), model)] if slash and model else []
    return [(called, name), *named, *((maker, name) for maker in FIRST_PARTIES)]
