"""Prices and names that users set: TOML with ``[[price]]``, ``[alias.PROVIDER]`` and ``[serves]``.

[[price]]                       # your own rates; beats every other source
provider = "openai"
models = ["gpt-4o", "gpt-4o-2024-08-06"]
from = 2026-01-01               # optional: until, hours = "01:00-04:00", weekdays = ["mon"]
rates = { input = 2.0, output = 8.0, cache_read = 1.0 }   # USD per million tokens

[[price]]                       # self-hosted: no charge
provider = "ollama"
models = ["*"]
free = true

[alias.azure]                   # deployments, application inference profiles, any other name
"prod-chat" = "gpt-4o"

[serves]                        # a server of your own that resells others' models at their list price
my-proxy = ["openai", "anthropic"]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from pricing.names import canonical_provider, spellings
from pricing.rates import Clause, Entry, Variant
from pricing.table import PriceTable, PriceTableError, check_names, convert_period, convert_when, parse_toml

ANY_MODEL = "*"


class OverridesFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    price: tuple[PriceTable, ...] = ()
    alias: dict[str, dict[str, Any]] = {}
    serves: dict[str, Any] = {}


def _text(value: object, key: str) -> str:
    if not isinstance(value, str) or not value:
        raise PriceTableError(f"{key}: {value!r} is not a name; give a text")
    return value


def _list(value: object, key: str) -> Iterable[object]:
    if not isinstance(value, list | tuple):
        raise PriceTableError(f"{key}: {value!r} is not a list of providers")
    return value


class Overrides:
    """User prices, indexed."""

    __slots__ = ("_aliases", "_by_name", "_by_start", "count", "serves")

    def __init__(self, file: OverridesFile) -> None:
        grouped: dict[tuple[str, str, bool], list[tuple[str, PriceTable]]] = {}
        for index, table in enumerate(file.price):
            provider = canonical_provider(table.provider)
            check_names(table, f"price[{index}]")
            for exact, texts in ((True, table.models), (False, table.starts_with)):
                for text in texts:
                    grouped.setdefault((provider, text.lower(), exact), []).append((f"price[{index}]", table))
        entries = {key: _entry(key[1], tables) for key, tables in grouped.items()}
        self.count = len(file.price)
        self._by_name = {
            (provider, text): entry for (provider, text, exact), entry in entries.items() if exact
        }
        self._by_start = sorted(
            ((provider, text, entry) for (provider, text, exact), entry in entries.items() if not exact),
            key=lambda item: -len(item[1]),
        )
        self._aliases = {
            (canonical_provider(provider), spelling): _text(target, f"alias.{provider}.{name}")
            for provider, names in file.alias.items()
            for name, target in names.items()
            for spelling in spellings(name, ())[:1]
        }
        self.serves: Mapping[str, tuple[str, ...]] = {
            provider: tuple(_text(name, f"serves.{provider}") for name in _list(sold, f"serves.{provider}"))
            for provider, sold in file.serves.items()
        }

    def alias(self, provider: str, candidates: tuple[str, ...]) -> str | None:
        """What the user says a name stands for."""
        for name in candidates:
            if (target := self._aliases.get((provider, name))) is not None:
                return target
        return None

    def find(self, provider: str, candidates: tuple[str, ...]) -> Entry | None:
        """The user's price for a model: exact names, then the longest fitting start, then ``*``."""
        for name in candidates:
            if (entry := self._by_name.get((provider, name))) is not None:
                return entry
        for name in candidates:
            for owner, start, entry in self._by_start:
                if owner == provider and name.startswith(start):
                    return entry
        return self._by_name.get((provider, ANY_MODEL))


def _entry(name: str, tables: list[tuple[str, PriceTable]]) -> Entry:
    periods = tuple(convert_period(table, key) for key, table in tables if not table.when)
    variants = tuple(
        Variant(convert_when(table.when, key), convert_period(table, key))
        for key, table in tables
        if table.when
    )
    return Entry(
        name,
        (name,),
        (Clause("starts", name),),
        periods,
        variants,
        corrected="; ".join(dict.fromkeys(table.source for _, table in tables if table.source)) or None,
        approximate=next((table.approximate for _, table in tables if table.approximate), None),
    )


def parse_overrides(text: str) -> Overrides:
    """Reads overrides; raises :class:`PriceTableError` naming the key, what is wrong and what is right."""
    return Overrides(parse_toml(text, OverridesFile, "prices"))
