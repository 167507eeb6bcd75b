"""Every other service that the Apprise library knows, by one of its URLs. Needs the extra ``apprise``."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
from datetime import datetime
from typing import Final

import msgspec

from telemetry.alerts.channels.contract import Channel, Environ, Parcel, Reply, Secret
from telemetry.alerts.channels.retry import Fate, Trouble
from telemetry.alerts.given import Given, Unfit
from telemetry.alerts.message import Event, Message
from telemetry.alerts.notice import Notice

_TYPES: Final = {"critical": "failure", "warning": "warning", "info": "info"}


class Target(msgspec.Struct, frozen=True):
    """The URL names service, account and password."""

    url: Secret


class Note(msgspec.Struct, frozen=True):
    """What is stored."""

    title: str
    text: str
    type: str


def _read(given: Given, environ: Environ) -> Target:
    if importlib.util.find_spec("apprise") is None:
        raise Unfit("kind", "needs a library that is not installed", "pip install apprise")
    url = environ.needed(given, "url_env", "the Apprise URL (ntfys://..., gchat://...)")
    if "://" not in url.value:
        raise Unfit("url_env", "names a text that is not an Apprise URL", "Write it like ntfys://host/topic")
    return Target(url)


def _body(target: Target, message: Message) -> str:
    facts = "\n".join(f"{name}: {value}" for name, value in message.facts)
    kind = "success" if message.event is Event.RESOLVED else _TYPES[message.severity.value]
    return msgspec.json.encode(Note(message.title, f"{message.summary}\n{facts}", kind)).decode()


def _notice(target: Target, notice: Notice) -> str:
    return msgspec.json.encode(Note(notice.title, "\n".join(notice.lines), _TYPES["info"])).decode()


async def _send(target: Target, parcel: Parcel, timeout_s: int, now: datetime) -> Reply:
    import apprise

    for chatty in ("apprise", "urllib3"):  # what they log may hold the URL
        logging.getLogger(chatty).setLevel(logging.CRITICAL + 1)
    note = msgspec.json.decode(parcel.body, type=Note)
    service = apprise.Apprise(asset=apprise.AppriseAsset(http_redirects=False, async_mode=True))
    if not service.add(target.url.value):
        return Reply(Fate.RETRY, trouble=Trouble.PROTOCOL)
    try:
        async with asyncio.timeout(timeout_s):
            done = await service.async_notify(body=note.text, title=note.title, notify_type=note.type)
    except TimeoutError:
        return Reply(Fate.RETRY, trouble=Trouble.TIMEOUT)
    # It tells only whether it worked.
    return Reply(Fate.SENT) if done else Reply(Fate.RETRY, trouble=Trouble.STATUS)


CHANNEL: Final = Channel(
    "apprise",
    "any service of the Apprise library",
    _read,
    _body,
    _send,
    secrets=lambda target: (target.url.value,),
    notice=_notice,
)
