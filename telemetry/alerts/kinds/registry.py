"""All kinds of rules, found by scan, and rules made of tables."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import telemetry.alerts.kinds as package
from telemetry.alerts.given import Given
from telemetry.alerts.kinds.contract import Kind
from telemetry.alerts.rule import Rule, read_common

_NOT_KINDS: Final = frozenset(("contract", "registry", "windowed"))


def scan() -> Iterator[Kind[Any, Any]]:
    """The ``KIND`` of every file in this package, by file name."""
    for info in pkgutil.iter_modules(package.__path__):
        if info.name not in _NOT_KINDS:
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            kind = module.KIND
            if not isinstance(kind, Kind) or kind.name != info.name:
                raise TypeError(f"{module.__name__}.KIND must be a Kind named {info.name!r}")
            yield kind


KINDS: Final[Mapping[str, Kind[Any, Any]]] = MappingProxyType({kind.name: kind for kind in scan()})
"""Every kind by name."""


def rule_of(table: Mapping[str, Any]) -> Rule[Any]:
    """A rule from what somebody wrote. Raises :class:`telemetry.alerts.given.Unfit`."""
    given = Given(table)
    common = read_common(given, KINDS)
    kind = KINDS[common.kind]
    params = kind.read(given)
    given.done()
    return Rule(
        common.name,
        common.kind,
        params,
        common.severity,
        common.channels,
        common.scope,
        common.group_by,
        kind.renotify_s if common.renotify_s is None else common.renotify_s,
    )
