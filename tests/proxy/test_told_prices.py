"""A price that the app tells covers what it was told for, and the rest of the call is neither forgotten nor paid twice."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rig.weighing import call_to, weigh

from gateway.price_headers import RATES_TOLD, PriceSaid
from gateway.wire.contract import AskFields, Reading
from pricing.book import PriceBook
from pricing.cost import Cost, CostSource, CostStatus
from pricing.usage import Part, Usage

BOOK = PriceBook.load()
RATES = PriceSaid(rate_in=1_000 * 10**9, rate_out=2_000 * 10**9)
"""1,000 nano-USD for a token in, 2,000 for one out."""
MINI_IN = 150
"""Nano-USD of a token in of gpt-4o-mini."""
MODEL = "gpt-4o-2024-08-06"
COUNTS = st.integers(0, 10**6)
USAGES = st.builds(lambda asked, made: Usage(asked, made), COUNTS, COUNTS)
PARTS = st.lists(
    st.builds(Part, st.sampled_from((MODEL, "gpt-4o", "gpt-4o-mini", "nobody-knows-this")), USAGES),
    max_size=4,
)


def told(
    usage: Usage | None,
    also: Sequence[Part] = (),
    *,
    said: PriceSaid = RATES,
    path: bytes = b"/openai/v1/chat/completions",
    fees_unseen: bool = False,
    charge: int | None = None,
) -> Cost:
    reading = Reading(usage, model=MODEL, also=tuple(also), fees_unseen=fees_unseen, charge=charge)
    return weigh(BOOK, call_to(path, said), reading).cost


def test_what_another_model_did_costs_what_the_book_says() -> None:
    cost = told(Usage(100, 10), [Part("gpt-4o-mini", Usage(1000, 0))])
    assert (cost.status, cost.source) == (CostStatus.PRICED, CostSource.OVERRIDE)
    assert cost.total == 100 * 1_000 + 10 * 2_000 + 1000 * MINI_IN
    assert (cost.rule or "").startswith(RATES_TOLD)


def test_further_passes_of_the_same_model_are_paid_at_the_rates_told() -> None:
    passes = [Part(MODEL, Usage(7, 1)), Part("gpt-4o", Usage(3, 1))]
    assert told(Usage(100, 10), passes).total == 110 * 1_000 + 12 * 2_000


def test_parts_that_are_counted_in_the_whole_are_paid_once() -> None:
    whole = Usage(100, 10, billed_input=0, billed_output=0)
    shares = [Part("gpt-4o-mini", Usage(60, 4), None, True), Part("gpt-4o", Usage(40, 6), "priority", True)]
    assert told(whole, shares).total == 100 * 1_000 + 10 * 2_000


def test_an_unknown_part_and_a_fee_nobody_counted_make_a_lower_bound() -> None:
    alone = 100 * 1_000 + 10 * 2_000
    for cost in (
        told(Usage(100, 10), [Part("nobody-knows-this", Usage(5, 5))]),
        told(Usage(100, 10), fees_unseen=True),
        told(Usage(100, None)),
    ):
        assert cost.status is CostStatus.PARTIAL
        assert cost.total in (alone, 100 * 1_000)


def test_searches_are_no_tokens() -> None:
    cost = told(Usage(100, 10, web_searches=2))
    assert cost.total == 100 * 1_000 + 10 * 2_000 + (cost.other or 0)
    assert cost.other
    unknown = Reading(Usage(100, 10, web_searches=2), model="nobody-knows-this")
    assert weigh(BOOK, call_to(said=RATES), unknown).cost.status is CostStatus.PRICED, (
        "the model asked for is known"
    )


def test_what_is_not_charged_for_is_not_paid() -> None:
    assert told(Usage(900, 0, billed_input=0, billed_output=0)).total == 0
    assert told(Usage(900, 90, billed_input=500, billed_output=50)).total == 500 * 1_000 + 50 * 2_000


@pytest.mark.parametrize("usage", [None, Usage(), Usage(characters=100), Usage(images=1)])
def test_rates_for_tokens_tell_nothing_where_none_are_counted(usage: Usage | None) -> None:
    cost = told(usage)
    assert (cost.status, cost.total) != (CostStatus.PRICED, 0)
    assert cost.source is not CostSource.OVERRIDE


def test_embeddings_have_no_output_to_miss() -> None:
    assert told(Usage(100), path=b"/openai/v1/embeddings").status is CostStatus.PRICED


def test_a_total_holds_everything() -> None:
    cost = told(
        Usage(1, 1), [Part("nobody-knows-this", Usage(5, 5))], said=PriceSaid(total=5), fees_unseen=True
    )
    assert (cost.status, cost.total, cost.other) == (CostStatus.PRICED, 5, 5)


def test_a_model_is_priced_in_the_place_of_the_one_that_was_called() -> None:
    said = PriceSaid("gpt-4o-mini")
    parts = [Part(MODEL, Usage(10, 0)), Part("gpt-4o-mini", Usage(5, 0))]
    cost = told(Usage(100, 0), parts, said=said)
    assert (cost.status, cost.total) == (CostStatus.PRICED, 115 * MINI_IN)
    assert told(Usage(100, 0), said=said, fees_unseen=True).status is CostStatus.PARTIAL
    unknown = told(Usage(100, 0), said=PriceSaid("nobody-knows-this-either"))
    assert unknown.total == told(Usage(100, 0), said=PriceSaid("gpt-4o")).total, (
        "the model asked for is known"
    )


@pytest.mark.parametrize("name", ["gpt-4o-mini", "nobody-knows-this-either"])
def test_what_is_paid_by_its_parts_is_paid_as_the_model_told_throughout(name: str) -> None:
    whole = Usage(100, 10, billed_input=0, billed_output=0)
    parts = [Part(MODEL, Usage(60, 4), None, True), Part("gpt-4o", Usage(40, 6), "priority", True)]
    cost = told(whole, parts, said=PriceSaid(name))
    known = told(whole, parts, said=PriceSaid(name if name == "gpt-4o-mini" else "gpt-4o"))
    alone = told(Usage(60, 4), said=PriceSaid(name))
    assert (cost.status, cost.total) == (CostStatus.PRICED, known.total)
    assert (cost.total or 0) > (alone.total or 0) > 0


def test_a_model_that_nobody_knows_tells_nothing() -> None:
    reading = Reading(Usage(100, 10), model=MODEL, also=(Part("gpt-4o-mini", Usage(5, 0)),))
    ask = AskFields("a-name-of-ours")
    said = PriceSaid("nobody-knows-this")
    unsaid, cost = (
        weigh(BOOK, msgspec.structs.replace(call_to(said=one), ask=ask), reading).cost for one in (None, said)
    )
    assert unsaid.status is CostStatus.PRICED
    assert cost == unsaid


@given(USAGES, PARTS, st.booleans(), st.integers(0, 10**16), st.integers(0, 10**16))
def test_components_add_up_and_nothing_unknown_is_called_priced(
    usage: Usage, also: list[Part], fees: bool, rate_in: int, rate_out: int
) -> None:
    cost = told(usage, also, said=PriceSaid(None, rate_in, rate_out), fees_unseen=fees)
    assert cost.total == sum(
        part or 0 for part in (cost.input, cost.output, cost.cache_read, cost.cache_write, cost.other)
    )
    known = not fees and all(part.model != "nobody-knows-this" for part in also)
    assert cost.status is (CostStatus.PRICED if known else CostStatus.PARTIAL)
