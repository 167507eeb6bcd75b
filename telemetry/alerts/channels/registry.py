"""All kinds of channels, found by scan, and channels made of tables."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import telemetry.alerts.channels as package
from telemetry.alerts.channels.contract import TIMEOUT_S, Channel, Environ, Post
from telemetry.alerts.given import Given, Unfit, meant
from telemetry.alerts.rule import NAME, NAME_HELP

_NOT_CHANNELS: Final = frozenset(("alertmanager", "contract", "http", "public", "registry", "retry"))


def scan() -> Iterator[Channel[Any]]:
    """The ``CHANNEL`` of every file in this package, by file name."""
    for info in pkgutil.iter_modules(package.__path__):
        if info.name not in _NOT_CHANNELS:
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            channel = module.CHANNEL
            if not isinstance(channel, Channel) or channel.name != info.name:
                raise TypeError(f"{module.__name__}.CHANNEL must be a Channel named {info.name!r}")
            yield channel


CHANNELS: Final[Mapping[str, Channel[Any]]] = MappingProxyType({one.name: one for one in scan()})
"""Every kind by name."""


def channel_of(name: str, table: Mapping[str, Any], environ: Mapping[str, str]) -> Post:
    """A channel from what somebody wrote. Raises :class:`telemetry.alerts.given.Unfit`."""
    if not NAME.fullmatch(name):
        raise Unfit("", f"{name[:60]!r} can't be a name", NAME_HELP)
    given = Given(table)
    kind = given.text("kind")
    if kind not in CHANNELS:
        what = "is missing" if kind is None else f"{kind!r} is not a kind of channel"
        raise Unfit("kind", what, f"{meant(kind, CHANNELS)}Choose {', '.join(CHANNELS)}")
    channel = CHANNELS[str(kind)]
    resolved = given.flag("send_resolved", True)
    timeout = given.seconds("timeout", TIMEOUT_S, 1, 60)
    target = channel.read(given, Environ(environ))
    given.done()
    return Post(name, channel, target, resolved, timeout)
