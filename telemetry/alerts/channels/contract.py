"""What a channel is: how its keys are read, how a message looks there, and how it is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, Generic, TypeVar

import msgspec

from telemetry.alerts.channels.retry import Fate, Trouble
from telemetry.alerts.given import Given, Unfit
from telemetry.alerts.message import Message
from telemetry.alerts.notice import Notice

Target = TypeVar("Target")
TIMEOUT_S: Final = 15


class Secret:
    """A text that shows itself to nobody who does not ask for :attr:`value`."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.value == other.value

    def __hash__(self) -> int:
        return hash(self.value)


class Parcel(msgspec.Struct, frozen=True):
    """A message on its way: id and body are the same at every try."""

    id: str
    body: str


class Reply(msgspec.Struct, frozen=True):
    """What came of one try."""

    fate: Fate
    status: int | None = None
    """HTTP status, or SMTP code."""
    trouble: Trouble | None = None
    wished_s: int | None = None
    """Pause the receiver asks for."""


class Environ(msgspec.Struct, frozen=True):
    """Where secrets come from."""

    variables: Mapping[str, str]

    def secret(self, given: Given, key: str) -> Secret | None:
        """The value of the variable that ``key`` names; ``None`` if the key is not there. Raises ``Unfit``."""
        name = given.variable(key)
        if name is None:
            return None
        value = self.variables.get(name)
        if not value:
            raise Unfit(
                key, f"names {name}, which is not in the environment", "Set it where the gateway runs"
            )
        return Secret(value)

    def needed(self, given: Given, key: str, what: str) -> Secret:
        """The same for a secret that must be there."""
        found = self.secret(given, key)
        if found is None:
            raise given.missing(key, f"Name the environment variable that holds {what}")
        return found


class Channel(msgspec.Struct, Generic[Target], frozen=True):
    """One kind of channel; ``name`` is that of its file."""

    name: str
    about: str
    """Where it sends, in a few words."""
    read: Callable[[Given, Environ], Target]
    """Its own keys; raises :class:`telemetry.alerts.given.Unfit`."""
    body: Callable[[Target, Message], str]
    """The message as it is stored and sent. Holds no secret."""
    send: Callable[[Target, Parcel, int, datetime], Awaitable[Reply]]
    """Try once, within so many seconds. Raises nothing but defects."""
    secrets: Callable[[Target], tuple[str, ...]]
    """What must not appear anywhere."""
    tracks: Callable[[Target], bool] = lambda target: False
    """The receiver keeps open what fires, and wants to hear of every end."""
    notice: Callable[[Target, Notice], str] | None = None
    """What is no alert, as it is stored and sent; ``None``: nobody would read it there."""


class Post(msgspec.Struct, frozen=True):
    """A configured channel."""

    name: str
    channel: Channel[Any]
    target: Any
    send_resolved: bool
    timeout_s: int

    def secrets(self) -> tuple[str, ...]:
        """What must not appear anywhere."""
        return self.channel.secrets(self.target)

    @property
    def tracks(self) -> bool:
        return self.channel.tracks(self.target)

    @property
    def fingerprint(self) -> str:
        """Changes when it sends elsewhere. Tells nothing of where."""
        parts = (self.channel.name, repr(self.target), *self.secrets())
        return sha256("\x1f".join(parts).encode()).hexdigest()[:32]

    @property
    def carries_notices(self) -> bool:
        """Whether a report can be sent there: who keeps open what fires would keep it open for ever."""
        return self.channel.notice is not None and not self.tracks

    def body(self, message: Message | Notice) -> str:
        """Raises ``TypeError`` for a notice that is not carried."""
        if not isinstance(message, Notice):
            return self.channel.body(self.target, message)
        if self.channel.notice is None:
            raise TypeError(f"{self.channel.name} carries no notices")
        return self.channel.notice(self.target, message)

    async def send(self, parcel: Parcel, now: datetime) -> Reply:
        """Try once."""
        return await self.channel.send(self.target, parcel, self.timeout_s, now)
