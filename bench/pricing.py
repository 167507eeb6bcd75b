"""Microseconds per priced call and per look-up of a model: ``python -m bench.pricing``."""

from __future__ import annotations

import time
from collections.abc import Callable

from pricing import catalogue
from pricing.book import PriceBook, PriceQuery
from pricing.usage import Usage

ROUNDS = 7
CALLS = 20_000


def microseconds(action: Callable[[], object]) -> float:
    """Best of some rounds, per call."""
    best = 0
    for _ in range(ROUNDS):
        start = time.perf_counter_ns()
        for _ in range(CALLS):
            action()
        took = time.perf_counter_ns() - start
        best = min(best or took, took)
    return best / CALLS / 1_000


def run() -> dict[str, float]:
    """Measures; microseconds by name (``load`` in milliseconds)."""
    start = time.perf_counter_ns()
    catalogue.load()
    load = (time.perf_counter_ns() - start) / 1_000_000
    book = PriceBook.load()
    now = time.time_ns()
    text = PriceQuery("openai", "gpt-4o-2024-08-06", "gpt-4o", Usage(1_000, 200, 500, None, None, 20), now)
    cached = PriceQuery(
        "anthropic", "claude-sonnet-4-5-20250929", None, Usage(250_000, 900, 200_000, 1_000, 500), now
    )
    special = PriceQuery(
        "openai", "gpt-5", None, Usage(1_000, 200, 500, None, None, 20), now, service_tier="flex"
    )
    unknown = PriceQuery("openai", "gpt-99", None, Usage(1_000, 200), now)
    names = iter(range(10**9))
    return {
        "load (ms)": load,
        "price, text": microseconds(lambda: book.price(text)),
        "price, cache writes and a tier": microseconds(lambda: book.price(cached)),
        "price, service tier": microseconds(lambda: book.price(special)),
        "price, unknown model": microseconds(lambda: book.price(unknown)),
        "match, seen before": microseconds(lambda: book.find("openai", "gpt-4o-2024-08-06", "gpt-4o")),
        "match, never seen": microseconds(lambda: book.find("openai", f"made-up-{next(names)}")),
        "explain": microseconds(lambda: book.explain(text)),
    }


def main() -> None:
    for name, value in run().items():
        print(f"{name:34} {value:8.2f}")


if __name__ == "__main__":
    main()
