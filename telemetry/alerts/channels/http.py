"""Sending one HTTP request: a deadline for all of it, no redirects, nothing read but the head of the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from telemetry.alerts.channels.contract import Environ, Reply, Secret
from telemetry.alerts.channels.public import Doorkeeper
from telemetry.alerts.channels.retry import Fate, Trouble, fate_of
from telemetry.alerts.given import Given, Unfit

_SECONDS: Final = re.compile(r"\d{1,6}")
_HEADERS: Final = {"Content-Type": "application/json", "User-Agent": "weighbridge"}


def read_url(given: Given, environ: Environ, example: str, default: str | None = None) -> Secret:
    """``url``, or better ``url_env``. Many of these URLs are secrets themselves. Raises ``Unfit``."""
    hidden, plain = environ.secret(given, "url_env"), given.text("url", longest=2_000)
    if hidden is not None and plain is not None:
        raise Unfit("url", "stands beside url_env", "Keep url_env")
    url = hidden or (Secret(plain) if plain else Secret(default) if default else None)
    key = "url" if hidden is None else "url_env"
    if url is None:
        raise Unfit(
            "url_env", "is missing", f"Name the environment variable that holds the URL, like {example}"
        )
    try:
        parts = urlsplit(url.value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.value.isascii() or not url.value.isprintable() or " " in url.value:
        raise Unfit(key, "is not an http or https URL", f"Write it like {example}")
    if parts.username is not None or parts.fragment:
        raise Unfit(key, "holds a user name or a fragment", f"Write it like {example}")
    return url


async def post(
    url: Secret,
    body: bytes,
    timeout_s: int,
    *,
    allow_private: bool,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """One POST. Whatever goes wrong on the way is a reply, without the text of the error: it may hold the URL.

    The body of the answer is not read: who has answered 200 has taken the message, however long the rest takes.
    """
    door = Doorkeeper(allow_private=allow_private)
    connector = aiohttp.TCPConnector(socket_factory=door, use_dns_cache=False, force_close=True)
    session = aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=timeout_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )
    try:
        async with (
            session,
            session.post(
                url.value, data=body, headers={**_HEADERS, **(headers or {})}, allow_redirects=False
            ) as answer,
        ):
            status, wished = answer.status, _retry_after(answer.headers.get("Retry-After", ""))
            answer.close()
    except TimeoutError:
        return Reply(Fate.RETRY, trouble=Trouble.TIMEOUT)
    except (aiohttp.ClientError, OSError) as error:
        return Reply(Fate.RETRY, trouble=Trouble.PRIVATE_TARGET if door.refused else _trouble(error))
    fate = fate_of(status)
    return Reply(fate, status, None if fate is Fate.SENT else Trouble.STATUS, wished)


def _trouble(error: aiohttp.ClientError | OSError) -> Trouble:
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Trouble.UNKNOWN_HOST
        case aiohttp.ClientSSLError():
            return Trouble.TLS
        case aiohttp.ClientConnectorError():
            return Trouble.CONNECT
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | ConnectionError():
            return Trouble.RESET
        case aiohttp.ClientError():
            return Trouble.PROTOCOL
        case _:
            return Trouble.CONNECT


def _retry_after(value: str) -> int | None:
    """Seconds; a date is not understood."""
    return int(value) if _SECONDS.fullmatch(value.strip()) else None
