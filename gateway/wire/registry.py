"""All wires, found by scan: every module of this package that exports ``WIRE``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator

import gateway.wire as package
from gateway.wire.contract import Wire

MOST_REMEMBERED = 4096


class Wires:
    """The wires by name and by the paths they read."""

    def __init__(self, wires: Iterable[Wire]) -> None:
        ordered = sorted(wires, key=lambda wire: (wire.fallback, wire.name))
        self._by_name = {wire.name: wire for wire in ordered}
        if len(self._by_name) != len(ordered):
            raise ValueError("two wires share a name")
        self._remembered: dict[tuple[str, str], Wire | None] = {}

    def find(self, method: str, path: str) -> Wire | None:
        """The wire that reads calls of ``method`` and ``path`` (as sent, without query), or ``None``."""
        key = (method, path)
        try:
            return self._remembered[key]
        except KeyError:
            pass
        found = next((wire for wire in self if wire.matches(method, path)), None)
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[key] = found
        return found

    def get(self, name: str) -> Wire:
        """Raises ``KeyError`` for a name that no wire has."""
        return self._by_name[name]

    def __iter__(self) -> Iterator[Wire]:
        return iter(self._by_name.values())


def scan() -> Wires:
    """The wires of this package."""
    found: list[Wire] = []
    for module in pkgutil.iter_modules(package.__path__):
        if module.name == "registry":
            continue
        wire = getattr(importlib.import_module(f"{package.__name__}.{module.name}"), "WIRE", None)
        if isinstance(wire, Wire):
            found.append(wire)
    return Wires(found)


WIRES = scan()
