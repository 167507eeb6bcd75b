"""Our corrections of the source catalogue, applied when the catalogue is compiled.

``data/corrections.toml`` holds ``[[price]]`` tables in the form of ``pricing.table``, ``[[factor]]`` tables and
``[[provider]]`` tables for providers the source lacks. Tables that name the same first model at the same provider describe one entry together. An entry
the source has (same id) keeps its names and gets these prices instead; a new entry takes its names
away from the entries that had them.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from pricing.rates import Adjustment, Clause, Entry, ProviderPrices, Variant
from pricing.table import PriceTable, PriceTableError, convert_period, convert_when, parse_toml
from pricing.units import TOKEN_UNITS

CORRECTIONS_PATH = Path(__file__).with_name("data").joinpath("corrections.toml")


class Factor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ``[[factor]]`` table: standard rates times ``ratio`` under a condition."""

    provider: str
    when: dict[str, str]
    ratio: tuple[int, int]
    source: str
    units: tuple[str, ...] = TOKEN_UNITS
    starts_with: tuple[str, ...] = ()
    excludes: tuple[str, ...] = ()


class NewProvider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A ``[[provider]]`` table: a provider the source does not have."""

    id: str


class Corrections(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    provider: tuple[NewProvider, ...] = ()
    price: tuple[PriceTable, ...] = ()
    factor: tuple[Factor, ...] = ()


def _entry(old: Entry | None, tables: list[tuple[str, PriceTable]]) -> Entry:
    names = dict.fromkeys(name.lower() for _, table in tables for name in table.models)
    starts = dict.fromkeys(text.lower() for _, table in tables for text in table.starts_with)
    sources = dict.fromkeys(table.source for _, table in tables if table.source)
    if not sources:
        raise PriceTableError(f"{tables[0][0]}.source: a correction needs its source")
    periods = [convert_period(table, key) for key, table in tables if not table.when]
    variants = [
        Variant(convert_when(table.when, key), convert_period(table, key))
        for key, table in tables
        if table.when
    ]
    clauses = tuple(Clause("starts", text) for text in starts)
    return Entry(
        tables[0][1].models[0],
        tuple(dict.fromkeys((*names, *(old.names if old else ())))),
        clauses + tuple(clause for clause in (old.clauses if old else ()) if clause not in clauses),
        tuple(periods) or (old.periods if old else ()),
        tuple(variants) or (old.variants if old else ()),
        corrected="; ".join(sources),
        approximate=next((table.approximate for _, table in tables if table.approximate), None),
        min_audio_ms=old.min_audio_ms if old else 0,
    )


def _correct(
    provider: ProviderPrices, tables: list[tuple[str, PriceTable]], factors: list[Factor]
) -> ProviderPrices:
    groups: dict[str, list[tuple[str, PriceTable]]] = {}
    for key, table in tables:
        if not table.models:
            raise PriceTableError(f"{key}.models: a correction needs the entry's id as its first model")
        groups.setdefault(table.models[0], []).append((key, table))
    old = {entry.id: entry for entry in provider.entries}
    new = {identity: _entry(old.get(identity), group) for identity, group in groups.items()}
    taken = {name: identity for identity, entry in new.items() for name in entry.names}
    kept = tuple(
        msgspec.structs.replace(entry, names=tuple(name for name in entry.names if name not in taken))
        for entry in provider.entries
        if entry.id not in new
    )
    adjustments = tuple(
        Adjustment(
            factor.when, *factor.ratio, factor.units, factor.starts_with, factor.excludes, factor.source
        )
        for factor in factors
    )
    return msgspec.structs.replace(
        provider, entries=(*new.values(), *kept), adjustments=(*provider.adjustments, *adjustments)
    )


def apply_corrections(providers: tuple[ProviderPrices, ...], text: str) -> tuple[ProviderPrices, ...]:
    """``providers`` with the corrections of a TOML text; raises :class:`PriceTableError`."""
    corrections = parse_toml(text, Corrections, "corrections")
    providers += tuple(ProviderPrices(provider.id, (), ()) for provider in corrections.provider)
    known = {provider.id for provider in providers}
    for index, item in enumerate(corrections.price):
        if item.provider not in known:
            raise PriceTableError(f"price[{index}].provider: the catalogue has no {item.provider!r}")
    for index, factor in enumerate(corrections.factor):
        if factor.provider not in known:
            raise PriceTableError(f"factor[{index}].provider: the catalogue has no {factor.provider!r}")
    return tuple(
        _correct(
            provider,
            [
                (f"price[{index}]", table)
                for index, table in enumerate(corrections.price)
                if table.provider == provider.id
            ],
            [factor for factor in corrections.factor if factor.provider == provider.id],
        )
        for provider in providers
    )
