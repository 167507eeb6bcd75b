"""All kinds of channels, found by scan, and channels made of tables."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from typing import Any, Final

import telemetry.alerts.channels as package
from telemetry.alerts.channels.contract import TIMEOUT_S, Channel, Environ, Post
from telemetry.alerts.given import Given, Unfit, meant
from telemetry.alerts.rule import NAME, NAME_HELP

_NOT_CHANNELS: Final = frozenset(("alertmanager", "contract", "http", "public", "registry", "retry"))


class Channels(Mapping[str, Channel[Any]]):
    """The ``CHANNEL`` of every file in this package, by file name.

    A file is loaded when its channel is asked for: each needs libraries, and most gateways have one kind or none.
    """

    def __init__(self) -> None:
        found = (info.name for info in pkgutil.iter_modules(package.__path__))
        self._names = tuple(name for name in found if name not in _NOT_CHANNELS)

    def __getitem__(self, name: str) -> Channel[Any]:
        if name not in self._names:
            raise KeyError(name)
        module = importlib.import_module(f"{package.__name__}.{name}")
        channel = module.CHANNEL
        if not isinstance(channel, Channel) or channel.name != name:
            raise TypeError(f"{module.__name__}.CHANNEL must be a Channel named {name!r}")
        return channel

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


CHANNELS: Final = Channels()


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
