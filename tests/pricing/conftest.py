"""Shared by the pricing tests."""

from __future__ import annotations

import pytest

from pricing.book import PriceBook


@pytest.fixture(scope="session")
def book() -> PriceBook:
    """The price book that ships, without overrides."""
    return PriceBook.load()
