"""Finds the price list entry of a model: exact names by hash, then the catalogue's own rules, never a guess.

A provider without entries is never priced by another's list, unless the price list (``serves``) or the user
(overrides) says that it sells those models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from pricing.names import canonical_provider, routed_provider, spellings
from pricing.rates import Clause, Entry, ProviderPrices

Predicate = Callable[[str], bool]


class Hit(NamedTuple):
    """An entry, whose list it is in, and who sells the model."""

    seller: str
    owner: str
    entry: Entry


def compile_clause(clause: Clause) -> Predicate:
    """A test for lower-case names."""
    text = clause.text
    if clause.kind == "starts":
        return lambda name: name.startswith(text)
    if clause.kind == "ends":
        return lambda name: name.endswith(text)
    if clause.kind == "contains":
        return lambda name: text in name
    if clause.kind == "equals":
        return lambda name: name == text
    if clause.kind == "regex":
        pattern = re.compile(text)
        return lambda name: pattern.search(name) is not None
    parts = tuple(map(compile_clause, clause.parts))
    if clause.kind == "all":
        return lambda name: all(part(name) for part in parts)
    if clause.kind == "any":
        return lambda name: any(part(name) for part in parts)
    raise ValueError(f"unknown clause {clause.kind!r} in the price snapshot")


class ProviderIndex:
    """Names and rules of one provider."""

    __slots__ = ("_rules", "names")

    def __init__(self, prices: ProviderPrices) -> None:
        self.names: dict[str, Entry] = {}
        self._rules: list[tuple[Predicate, Entry]] = []
        for entry in prices.entries:
            for name in entry.names:
                self.names.setdefault(name, entry)
            self._rules += [(compile_clause(clause), entry) for clause in entry.clauses]

    def find(self, candidates: tuple[str, ...]) -> Entry | None:
        """The entry of the first candidate that has one; exact names before rules."""
        for name in candidates:
            if (entry := self.names.get(name)) is not None:
                return entry
        for name in candidates:
            for holds, entry in self._rules:
                if holds(name):
                    return entry
        return None


class Matcher:
    """Looks models up in a catalogue. Keeps an index per provider asked for, and nothing per name."""

    __slots__ = ("_indexes", "_prices", "_serves")

    def __init__(self, providers: tuple[ProviderPrices, ...], serves: Mapping[str, tuple[str, ...]]) -> None:
        self._prices = {prices.id: prices for prices in providers}
        self._serves = {
            canonical_provider(name): tuple(map(canonical_provider, sold)) for name, sold in serves.items()
        }
        self._indexes: dict[str, ProviderIndex] = {}

    @property
    def providers(self) -> tuple[str, ...]:
        """Ids of the providers that have prices."""
        return tuple(self._prices)

    def sellers(self, provider: str) -> tuple[str, ...]:
        """The provider and those whose models it sells, in the order they are asked."""
        prices = self._prices.get(provider)
        listed = prices.serves if prices else ()
        return tuple(dict.fromkeys((provider, *self._serves.get(provider, ()), *listed)))

    def candidates(self, provider: str, name: str) -> tuple[str, ...]:
        """Spellings of a model's name as ``provider`` (canonical id) may write it."""
        return spellings(name, self.sellers(provider))

    def find(self, provider: str, name: str) -> Hit | None:
        """The entry of a model as ``provider`` (canonical id) calls it."""
        provider, name = routed_provider(provider, name)
        sellers = self.sellers(provider)
        candidates = spellings(name, sellers)
        for owner in sellers:
            index = self.index(owner)
            if index is not None and (entry := index.find(candidates)) is not None:
                return Hit(provider, owner, entry)
        return None

    def index(self, provider: str) -> ProviderIndex | None:
        """The names of one provider; ``None`` where the catalogue has no such provider."""
        index = self._indexes.get(provider)
        if index is None and (prices := self._prices.get(provider)) is not None:
            index = self._indexes[provider] = ProviderIndex(prices)
        return index

    def prices(self, provider: str) -> ProviderPrices | None:
        """All entries of one provider."""
        return self._prices.get(provider)
