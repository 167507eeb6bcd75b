"""Path to provider and wire, remembered: apps call the same few paths over and over."""

from __future__ import annotations

import functools
import re
from typing import Final

from gateway.call import Target
from gateway.gear import Deadlines
from gateway.providers.registry import WireFinder, wire_for
from gateway.providers.table import Destination, ProviderTable
from gateway.settings.choices import StreamUsage
from telemetry.record import Route

_LOCATION: Final = re.compile(r"/projects/[^/]+/locations/([a-z0-9-]+)/")
REMEMBERED: Final = 4096
"""Paths kept in memory; a path with a query is never kept, it may carry a key."""
REMEMBERED_BYTES: Final = 512
"""Longer paths are never kept: they would let anybody fill our memory."""


class ProviderTargets:
    """:class:`gateway.proxy.Targets` over the configured providers."""

    def __init__(self, table: ProviderTable, wires: WireFinder) -> None:
        self._table = table
        self._wires = wires
        self._remembered = functools.lru_cache(maxsize=REMEMBERED)(self._resolve)
        self._deadlines = {name: _deadlines(place) for name, place in table.destinations.items()}
        self._injects = frozenset(
            name for name, place in table.destinations.items() if place.stream_usage is StreamUsage.INJECT
        )

    def resolve(self, method: str, raw_target: bytes) -> Target:
        """Raises :class:`gateway.errors.Refusal` for a path that leads nowhere."""
        if b"?" in raw_target or len(raw_target) > REMEMBERED_BYTES:
            return self._resolve(method, raw_target)
        return self._remembered(method, raw_target)

    def _resolve(self, method: str, raw_target: bytes) -> Target:
        place = self._table.resolve(raw_target)
        sent = place.path if b"?" not in raw_target else f"{place.path}?{place.query}"
        provider = place.destination.provider
        authority = place.origin.authority
        return Target(
            provider,
            place.origin,
            authority.encode("ascii"),
            sent.encode("latin-1"),
            place.path,
            place.query,
            wire_for(provider, method, place.path, self._wires),
            Route(authority, 1),
            place.destination.signer,
            region_of(place.path),
        )

    def deadlines(self, target: Target) -> Deadlines:
        return self._deadlines[target.provider.name]

    def injects_usage(self, target: Target) -> bool:
        return target.provider.name in self._injects


def region_of(path: str) -> str | None:
    """The location in a Vertex path."""
    found = _LOCATION.search(path)
    return found.group(1) if found is not None else None


def _deadlines(place: Destination) -> Deadlines:
    return Deadlines(
        place.connect_timeout,
        place.header_timeout,
        place.idle_timeout,
        place.total_timeout,
        place.drain_seconds,
    )
