"""Requests that are added up keep the rates of their sizes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pricing import catalogue
from pricing.book import PriceBook, PriceQuery
from pricing.cost import CostStatus
from pricing.usage import MAX_COUNT, SIZES, Usage, size_of, smallest_like

AT_NS = 1_790_000_000 * 10**9
TIERS = """
[[price]]
provider = "mine"
models = ["m"]
rates = { input = 1.0, output = 2.0 }
tiers = [{ above = 1000, rates = { input = 3.0 } }]
"""


def test_every_size_at_which_a_listed_rate_changes_is_known() -> None:
    steps = {
        tier.above
        for provider in catalogue.load().providers
        for entry in provider.entries
        for period in (*entry.periods, *(variant.period for variant in entry.variants))
        for tier in period.tiers
    }
    assert steps
    assert steps <= set(SIZES)


@given(st.integers(0, MAX_COUNT))
def test_a_size_holds_whatever_no_step_parts(tokens: int) -> None:
    least = smallest_like(tokens)
    assert least <= tokens
    assert size_of(least) == size_of(tokens)
    assert not least or size_of(least - 1) == size_of(tokens) - 1


def test_several_requests_cost_the_rates_of_each() -> None:
    book = PriceBook.load()
    each = Usage(200_000, 10)
    one = book.price(PriceQuery("openai", "gpt-5.4", None, each, AT_NS))
    both = Usage(400_000, 20, largest_input=200_000)
    sum_of_both = book.price(PriceQuery("openai", "gpt-5.4", None, both, AT_NS))
    assert one.total is not None
    assert (sum_of_both.status, sum_of_both.total) == (CostStatus.PRICED, 2 * one.total)
    large = book.price(PriceQuery("openai", "gpt-5.4", None, Usage(400_000, 20), AT_NS))
    assert large.total is not None
    assert large.total > 2 * one.total


def test_a_step_of_your_own_between_the_requests_makes_an_estimate() -> None:
    book = PriceBook.load(TIERS)
    below = book.price(PriceQuery("mine", "m", None, Usage(1500, 0, largest_input=900), AT_NS))
    assert (below.status, below.total) == (CostStatus.PRICED, 1500 * 1000)
    across = book.price(PriceQuery("mine", "m", None, Usage(2500, 0, largest_input=1500), AT_NS))
    assert (across.status, across.total) == (CostStatus.ESTIMATED, 2500 * 3000)
