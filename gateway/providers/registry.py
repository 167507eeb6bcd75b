"""Which providers there are: the files of this package. And which wire a call to one of them speaks."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, Protocol

import gateway.providers as package
from gateway.providers.contract import Provider
from gateway.wire.contract import Wire

_NOT_PROVIDERS: Final = frozenset(("contract", "paths", "registry", "table"))


class WireFinder(Protocol):
    """What :func:`wire_for` needs of the wire registry (:mod:`gateway.wire.registry` is one)."""

    def find(self, method: str, path: str) -> Wire | None:
        """The wire that recognises a call."""

    def get(self, name: str) -> Wire:
        """The wire of that name."""


def scan() -> Iterator[Provider]:
    """The ``PROVIDER`` of every file in this package, by file name."""
    for info in pkgutil.iter_modules(package.__path__):
        if info.name not in _NOT_PROVIDERS:
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            provider = module.PROVIDER
            if not isinstance(provider, Provider) or provider.name != info.name:
                raise TypeError(f"{module.__name__}.PROVIDER must be a Provider named {info.name!r}")
            yield provider


PROVIDERS: Final[Mapping[str, Provider]] = MappingProxyType({provider.name: provider for provider in scan()})
"""Every known provider by name."""


def wire_for(provider: Provider, method: str, path: str, wires: WireFinder) -> Wire | None:
    """The wire of a call: the provider's own rules go before what the wires recognise themselves.

    ``path`` is the one sent to the provider, without the query.
    """
    for rule in provider.rules:
        if rule.pattern.search(path) is not None and rule.method in (None, method):
            return wires.get(rule.wire) if rule.wire is not None else None
    return wires.find(method, path)
