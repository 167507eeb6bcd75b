"""How numbers, money and times are written."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli import wording


@pytest.mark.parametrize(
    ("nano", "text"),
    [
        (0, "$0"),
        (1, "$0.000000001"),
        (999, "$0.000000999"),
        (1_000, "$0.000001"),
        (1_500, "$0.000002"),
        (2_500, "$0.000002"),
        (4_125_000, "$0.004125"),
        (1_000_000_000, "$1.000000"),
        (999_999_999, "$1.000000"),
        (1_234_567_890_123, "$1,234.567890"),
        (-4_125_000, "-$0.004125"),
    ],
)
def test_money(nano: int, text: str) -> None:
    assert wording.usd(nano) == text


@given(st.integers(min_value=1000, max_value=10**16))
def test_money_is_rounded_half_to_even_and_never_through_a_float(nano: int) -> None:
    expected = (Decimal(nano) / 10**9).quantize(Decimal("0.000001"), ROUND_HALF_EVEN)
    assert Decimal(wording.usd(nano).removeprefix("$").replace(",", "")) == expected


@given(st.integers(min_value=1, max_value=10**16))
def test_a_cost_never_looks_like_nothing(nano: int) -> None:
    assert any(digit in "123456789" for digit in wording.usd(nano))


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (None, "–"),
        (0, "0.0 ms"),
        (940, "0.9 ms"),
        (9_949, "9.9 ms"),
        (9_950, "10 ms"),
        (850_400, "850 ms"),
        (999_499, "999 ms"),
        (999_500, "1.00 s"),
        (59_994_000, "59.99 s"),
        (59_995_000, "1m 00s"),
        (125_000_000, "2m 05s"),
    ],
)
def test_durations(us: int | None, text: str) -> None:
    assert wording.duration(us) == text


def test_counts() -> None:
    assert (wording.count(1234567), wording.count(0), wording.count(None)) == ("1,234,567", "0", "–")


def test_the_date_is_shown_unless_it_is_today() -> None:
    now = datetime(2026, 11, 20, 23, 0, tzinfo=UTC)
    assert wording.clock("2026-11-20T01:02:03.999999Z", now, UTC) == "01:02:03"
    assert wording.clock("2026-11-19T01:02:03.999999Z", now, UTC) == "11-19 01:02:03"
