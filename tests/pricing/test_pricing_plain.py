"""The short way to the cost of plain calls gives the bill's own answer, or none."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.bill import Tariff, add_up, is_consistent, make_bill, round_amounts
from pricing.book import PriceBook, PriceQuery
from pricing.catalogue import load
from pricing.plain import plain_cost, text_rates
from pricing.units import ATTO_PER_NANO
from pricing.usage import MAX_COUNT, Usage

COUNTS = st.none() | st.integers(0, 50) | st.sampled_from([10**6, MAX_COUNT, MAX_COUNT + 1, -1, True])
RARELY = st.sampled_from([None, None, None, None, None, None, None, None, 0, 3])
USAGES = st.builds(
    Usage,
    *([COUNTS] * 6),
    *([RARELY] * (len(Usage.__struct_fields__) - 6)),
)
RATED = ("input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning")
RATES = st.none() | st.integers(0, 10**12)
TARIFFS = st.builds(
    Tariff,
    rule=st.just("r"),
    since=st.just(0),
    above=st.just(-1),
    source=st.just("s"),
    input=RATES,
    output=RATES,
    cache_read=RATES,
    cache_write=RATES,
    cache_write_1h=RATES,
    reasoning=RATES,
    request=st.sampled_from([None, None, None, 10]),
    special_output=st.booleans(),
    long_write_unknown=st.booleans(),
)


WHOLE = TARIFFS.map(
    lambda tariff: msgspec.structs.replace(
        tariff,
        **{name: rate * ATTO_PER_NANO for name in RATED if (rate := getattr(tariff, name)) is not None},
    )
)
"""Of rates that are whole nano-USD."""


def rated(tariff: Tariff) -> Tariff:
    return msgspec.structs.replace(tariff, text=text_rates(tariff))


@settings(max_examples=600)
@given(USAGES, TARIFFS | WHOLE)
def test_it_is_the_bills_answer_or_none(usage: Usage, tariff: Tariff) -> None:
    amounts = plain_cost(usage, rated(tariff))
    if amounts is None:
        return
    assert is_consistent(usage)
    bill = make_bill(usage, tariff)
    assert not bill.partial
    assert not bill.estimated
    exact = add_up(bill.lines)
    assert not exact.unknown
    assert exact.scale == 1
    total, parts = round_amounts(exact)
    assert amounts == (total, *parts)


def test_the_usual_call_goes_the_short_way() -> None:
    nano = ATTO_PER_NANO
    tariff = rated(
        Tariff("r", 0, -1, "s", input=5 * nano, output=7 * nano, cache_read=1 * nano, cache_write=6 * nano)
    )
    usage = Usage(100, 20, 40, 10, None, 5, 0, None, 0)
    assert tariff.text == (1, 5, 7, 1, 6)
    assert plain_cost(usage, tariff) == (250 + 140 + 40 + 60, 250, 140, 40, 60, 0)
    for field in ("input_audio", "images", "billed_input", "cache_write_1h", "web_searches"):
        assert plain_cost(msgspec.structs.replace(usage, **{field: 1}), tariff) is None


def test_what_is_known_of_one_usage_says_nothing_of_another() -> None:
    book = PriceBook(load())
    heard = PriceQuery(
        "openai", "gpt-4o-audio-preview", None, Usage(100, 20, input_audio=50), 1_760_000_000 * 10**9
    )
    plain = msgspec.structs.replace(heard, usage=Usage(100, 20))
    assert book.price(heard) != book.price(plain)
    assert book.price(msgspec.structs.replace(heard, plain=plain.usage)) == book.price(heard)
    assert book.price(msgspec.structs.replace(plain, plain=plain.usage)) == book.price(plain)


def test_rates_of_less_than_a_nano_are_rounded_once() -> None:
    tariff = rated(Tariff("r", 0, -1, "s", input=ATTO_PER_NANO // 2, output=2 * ATTO_PER_NANO))
    assert tariff.text == (ATTO_PER_NANO, ATTO_PER_NANO // 2, 2 * ATTO_PER_NANO, None, None)
    assert plain_cost(Usage(3, 1), tariff) == (4, 2, 2, 0, 0, 0)  # 3.5, half to even
    assert plain_cost(Usage(1, 1), tariff) == (2, 0, 2, 0, 0, 0)


def test_nearly_all_rates_are_whole_nanos() -> None:
    catalogue = load()
    book = PriceBook(catalogue)
    plans = [book.find(one.id, entry.id).listed for one in catalogue.providers for entry in one.entries]
    tariffs = [plan.only for plan in plans if plan is not None]
    sizes = [tariff.text[0] for tariff in tariffs if tariff is not None and tariff.text is not None]
    assert set(sizes) == {1, ATTO_PER_NANO}
    assert sizes.count(1) > 0.9 * len(sizes)
