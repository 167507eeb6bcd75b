"""Where the commands read calls: from the running gateway if it answers, else from its database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.cli.server_source import ServerSource
from gateway.cli.source import CallSource
from gateway.settings import Settings


@asynccontextmanager
async def open_source(settings: Settings, url: str | None) -> AsyncIterator[CallSource]:
    """The gateway at ``url`` if given; else the one the settings describe if it runs; else the database.

    Raises :class:`SourceError` if ``url`` does not answer.
    """
    secret = settings.auth.admin_secret
    server = ServerSource(url or server_url(settings), secret.get_secret_value() if secret else None)
    if url is not None or server.answers():
        yield server
        return
    from gateway.cli.store_source import open_store_source

    async with open_store_source(settings) as source:
        yield source


def server_url(settings: Settings) -> str:
    """Where a gateway with these settings listens, as seen from this machine."""
    host = settings.server.host
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{settings.server.port}"
