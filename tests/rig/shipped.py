"""What ships with the program, read once a process: reading it anew for each of some thousand tests takes longest."""

from __future__ import annotations

import functools

from pricing.book import PriceBook
from pricing.tokens import TokenCounter


@functools.cache
def shipped_prices() -> PriceBook:
    """Without overrides. What it remembers of the names it was asked for does not change a price."""
    return PriceBook.load()


@functools.cache
def shipped_counter() -> TokenCounter:
    """Keeps the vocabularies that were needed, and nothing else."""
    return TokenCounter()
