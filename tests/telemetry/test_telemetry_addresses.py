"""Addresses are kept as their network, wherever they stand; other text stays."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.addresses import shortened, shortened_in, shortened_value


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("from 203.0.113.7, and 2001:db8:1:2::3.", "from 203.0.113.0, and 2001:db8:1::."),
        ("203.0.113.007:8080", "203.0.113.0:8080"),
        ("[fe80::1]:443 at 10:15:30", "[fe80::]:443 at 10:15:30"),
        ("version 1.2.3 and 1.2.3.4.5, 999.1.1.1", "version 1.2.3 and 1.2.3.4.5, 999.1.1.1"),
    ],
)
def test_in_text(text: str, kept: str) -> None:
    assert shortened_in(text) == kept


def test_a_value_that_is_more_than_an_address_stays() -> None:
    assert shortened_value("203.0.113.7") == "203.0.113.0"
    assert shortened_value("release-1.2.3.4") == "release-1.2.3.4"
    assert shortened_value("deadbeef") == "deadbeef"


@given(st.ip_addresses())
def test_the_network_is_kept_and_nothing_of_the_host(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    bits = 24 if address.version == 4 else 48
    assert shortened(address) == str(ipaddress.ip_network((address, bits), strict=False).network_address)
    kept = shortened_in(f"from {address} now")
    assert shortened_in(kept) == kept
    if int(address):
        assert kept == f"from {shortened(address)} now"
