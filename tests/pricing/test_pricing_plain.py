"""The short way to the cost of plain calls gives the bill's own answer, or none."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from pricing.bill import Tariff, add_up, is_consistent, make_bill
from pricing.plain import plain_amounts
from pricing.usage import MAX_COUNT, Usage

COUNTS = st.none() | st.integers(0, 50) | st.sampled_from([10**6, MAX_COUNT, MAX_COUNT + 1, -1, True])
RARELY = st.sampled_from([None, None, None, None, None, None, None, None, 0, 3])
USAGES = st.builds(
    Usage,
    *([COUNTS] * 6),
    *([RARELY] * (len(Usage.__struct_fields__) - 6)),
)
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


@settings(max_examples=600)
@given(USAGES, TARIFFS)
def test_it_is_the_bills_answer_or_none(usage: Usage, tariff: Tariff) -> None:
    amounts = plain_amounts(usage, tariff)
    if amounts is None:
        return
    assert is_consistent(usage)
    bill = make_bill(usage, tariff)
    assert not bill.partial
    assert not bill.estimated
    exact = add_up(bill.lines)
    assert not exact.unknown
    assert exact.scale == 1
    assert amounts == exact.exact


def test_the_usual_call_goes_the_short_way() -> None:
    tariff = Tariff("r", 0, -1, "s", input=5, output=7, cache_read=1, cache_write=6)
    usage = Usage(100, 20, 40, 10, None, 5, 0, None, 0)
    assert plain_amounts(usage, tariff) == [50 * 5, 20 * 7, 40, 60, 0]
    for field in ("input_audio", "images", "billed_input", "cache_write_1h", "web_searches"):
        assert plain_amounts(msgspec.structs.replace(usage, **{field: 1}), tariff) is None
