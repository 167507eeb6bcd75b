"""Prices of one's own that can be read, and most likely do not say what was meant: of calls they would price nothing, or wrongly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final

from gateway.prices import own_prices
from gateway.providers.table import ProviderTable
from gateway.settings.problem import Problem, Severity, did_you_mean, listed
from gateway.settings.sections import Settings
from pricing.book import PriceBook
from pricing.names import canonical_provider
from pricing.overrides import ANY_MODEL
from pricing.rates import Rates
from pricing.snapshot import MAX_MOVE, moved_too_far
from pricing.suggest import suggest
from pricing.table import PriceTable, convert_rates
from pricing.units import ATTO_PER_USD, CHARACTER_UNIT, TOKEN_UNITS, table_size

_PER: Final = {1_000_000: "million", 1_000: "thousand", 1: "hour"}
_OF: Final = {**dict.fromkeys(TOKEN_UNITS, " tokens"), CHARACTER_UNIT: " characters"}


def doubtful_prices(
    settings: Settings, table: ProviderTable, book: PriceBook, now_s: int
) -> Iterator[Problem]:
    """Warnings. ``book`` is that of the settings; listed rates are those of ``now_s``."""
    own = own_prices(settings.pricing)
    first = len(own.price) - len(settings.pricing.price)
    for index, price in enumerate(own.price):
        inline = index >= first
        key = f"pricing.price[{index - first}]" if inline else f"pricing.overrides: price[{index}]"
        yield from _of_provider(f"{key}.provider", price.provider, table, book)
        yield from _of_rates(f"{key}.rates", price, book, now_s)
    for provider, names in own.alias.items():
        strange = list(_of_provider(f"pricing.alias.{provider}", provider, table, book))
        yield from strange
        for name, target in () if strange else names.items():
            yield from _of_alias(f"pricing.alias.{provider}.{name}", provider, name, str(target), book)
    for name, section in settings.providers.items():
        price_as = table.price_as(name)
        for deployment, target in section.deployments.items():
            yield from _of_alias(
                f"providers.{name}.deployments.{deployment}", price_as, deployment, target, book
            )


def _of_provider(key: str, name: str, table: ProviderTable, book: PriceBook) -> Iterator[Problem]:
    known = {canonical_provider(one.provider.price_as) for one in table.destinations.values()}
    known.update(book.matcher.providers)
    if canonical_provider(name) not in known:
        what = f"no provider of the settings or the price book is called {name!r}: no call through the gateway is priced by it"
        how = f"{did_you_mean(name, [*known, *table.destinations])}'weighbridge prices providers' lists them"
        yield Problem(key, what, how, Severity.WARNING)


def _of_rates(key: str, price: PriceTable, book: PriceBook, now_s: int) -> Iterator[Problem]:
    """Rates far from the list's are most likely per token, or per thousand."""
    if price.when or not price.rates:
        return
    written = convert_rates(price.rates, key)
    for model in price.models:
        plan = book.find(price.provider, model).listed if model != ANY_MODEL else None
        tariff = plan.tariff(now_s, (), 0) if plan is not None else None
        if tariff is None:
            continue
        far = [unit for unit in price.rates if _is_far(getattr(written, unit), getattr(tariff, unit))]
        if far:
            yield _far(key, model, far, written, [getattr(tariff, unit) for unit in far])
            return


def _is_far(written: int | None, known: int | None) -> bool:
    return bool(written) and bool(known) and moved_too_far(known or 0, written or 0)


def _far(key: str, model: str, units: Sequence[str], written: Rates, known: Sequence[int]) -> Problem:
    told = [
        f"{unit} {_usd(getattr(written, unit), unit)} where {model} is listed at {_usd(rate, unit)}"
        for unit, rate in zip(units, known, strict=True)
    ]
    how = f"Rates are USD {_measures(units)}; where that is the contract, leave it"
    return Problem(key, f"more than {MAX_MOVE} times off: {listed(told)}", how, Severity.WARNING)


def _measures(units: Sequence[str]) -> str:
    """What rates are for; where the units differ in that, which one is for what."""
    of: dict[str, list[str]] = {}
    for unit in units:
        of.setdefault(f"per {_PER[table_size(unit)]}{_OF.get(unit, '')}", []).append(unit)
    return listed([f"{per} ({listed(alike)})" for per, alike in of.items()] if len(of) > 1 else of)


def _usd(rate: int, unit: str) -> str:
    return f"{(Decimal(rate * table_size(unit)) / ATTO_PER_USD).normalize():f}"


def _of_alias(key: str, provider: str, name: str, target: str, book: PriceBook) -> Iterator[Problem]:
    found = book.find(provider, name)
    if found.override is None and found.listed is None:
        alike = suggest(book.matcher, provider, target, 1)
        meant = f"Did you mean {alike[0].rpartition('/')[2]}? " if alike else ""
        what = f"{target!r} has no known price: calls under this name stay unpriced"
        yield Problem(
            key, what, f"{meant}'weighbridge prices show MODEL' tells what is known", Severity.WARNING
        )
