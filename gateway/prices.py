"""The price book the settings describe: the catalogue, a file of overrides, and tables under ``[pricing]``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from gateway.providers.registry import PROVIDERS
from gateway.settings import Problem, Settings, SettingsError
from gateway.settings.sections import Pricing, ProviderSection
from pricing import catalogue
from pricing.book import PriceBook
from pricing.catalogue import CatalogueError
from pricing.overrides import Overrides, OverridesFile
from pricing.table import PriceTableError, parse_toml, what_is_wrong

INSTALLED: Final = "prices.json"
"""Snapshot in the data folder, put there by ``weighbridge prices refresh``."""


def installed_snapshot(data_dir: Path) -> Path | None:
    """The snapshot that was installed, if there is one. Raises ``OSError`` where nobody may look."""
    path = data_dir / INSTALLED
    return path if path.is_file() else None


def book_of(settings: Settings) -> PriceBook:
    """The price book of a gateway with these settings; raises :class:`SettingsError`."""
    return price_book(settings.pricing, settings.storage.data_dir, deployments(settings.providers))


def deployments(providers: Mapping[str, ProviderSection]) -> dict[str, dict[str, str]]:
    """Names that the settings give to models, by the provider's id in the price book."""
    found: dict[str, dict[str, str]] = {}
    for name, section in providers.items():
        if section.deployments:
            known = PROVIDERS.get(section.kind or name)
            price_as = section.price_as or (known.price_as if known is not None else name)
            found.setdefault(price_as, {}).update(section.deployments)
    return found


def price_book(
    settings: Pricing, data_dir: Path | None = None, names: Mapping[str, Mapping[str, str]] | None = None
) -> PriceBook:
    """Reads what the settings name, else what was installed in ``data_dir``, else what ships.

    ``names``: provider's id in the price book -> deployment -> model; ``pricing.alias`` goes before it. Raises
    :class:`SettingsError`.
    """
    try:
        installed = installed_snapshot(data_dir) if data_dir is not None else None
        snapshot = catalogue.load(settings.snapshot or installed)
    except OSError as error:
        what = f"{error.filename} can't be read: {(error.strerror or type(error).__name__).lower()}"
        how = "Let the gateway's user read it, and do this as that user"
        raise SettingsError([Problem("pricing.snapshot", what, how)]) from None
    except CatalogueError as error:
        raise SettingsError(
            [Problem("pricing.snapshot", f"can't be used: {error}", "Leave it out for the built-in prices")]
        ) from None
    try:
        return PriceBook(snapshot, Overrides(own_prices(settings, names)))
    except PriceTableError as error:
        raise SettingsError([_wrong_price(str(error))]) from None


def own_prices(settings: Pricing, names: Mapping[str, Mapping[str, str]] | None = None) -> OverridesFile:
    """What users say of prices, the file's first; ``names`` as above. Raises :class:`SettingsError`."""
    inline = _inline(settings, names or {})
    return inline if settings.overrides is None else _joined(_from_file(settings.overrides), inline)


def _inline(settings: Pricing, names: Mapping[str, Mapping[str, str]]) -> OverridesFile:
    alias = {
        provider: {**names.get(provider, {}), **settings.alias.get(provider, {})}
        for provider in {**names, **settings.alias}
    }
    tables = {"price": settings.price, "alias": alias, "serves": settings.serves}
    try:
        return msgspec.convert(tables, OverridesFile, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError([_wrong_price(what_is_wrong(error))]) from None


def _from_file(path: Path) -> OverridesFile:
    try:
        return parse_toml(path.read_text(encoding="utf-8"), OverridesFile, str(path))
    except OSError as error:
        what = f"{path} can't be read: {error.strerror}"
        raise SettingsError([Problem("pricing.overrides", what, "Name a TOML file that exists")]) from None
    except (UnicodeDecodeError, PriceTableError) as error:
        raise SettingsError([_wrong_price(str(error))]) from None


def _joined(file: OverridesFile, inline: OverridesFile) -> OverridesFile:
    """What stands in the settings goes before what stands in the file."""
    alias = {
        name: {**file.alias.get(name, {}), **inline.alias.get(name, {})}
        for name in {**file.alias, **inline.alias}
    }
    return OverridesFile((*file.price, *inline.price), alias, {**file.serves, **inline.serves})


def _wrong_price(what: str) -> Problem:
    return Problem("pricing", what, "docs/prices.md shows how prices and aliases are written")
