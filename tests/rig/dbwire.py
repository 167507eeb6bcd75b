"""The wire to a PostgreSQL that can be cut, silenced or slowed while somebody uses it."""

from __future__ import annotations

import asyncio
import contextlib
import enum
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

SLOW_S = 0.3
"""Delay of every read in either direction."""


class Trouble(enum.Enum):
    """What is wrong with the wire."""

    NONE = "none"
    REFUSED = "refused"
    SILENT = "silent"
    """Connections are accepted, and nothing ever comes."""
    SLOW = "slow"


class DatabaseWire:
    """``async with DatabaseWire(server_uri) as wire``: connect to ``wire.url(database)``."""

    def __init__(self, uri: str) -> None:
        parts = urlsplit(uri)
        self._socket = f"{parse_qs(parts.query)['host'][0]}/.s.PGSQL.5432"
        self._user = parts.username or "postgres"
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.trouble = Trouble.NONE
        self.port = 0

    def url(self, database: str) -> str:
        return f"postgresql://{self._user}@127.0.0.1:{self.port}/{database}"

    async def __aenter__(self) -> DatabaseWire:
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cut()
        if self._server is not None:
            self._server.close()

    async def become(self, trouble: Trouble) -> None:
        """From now on; connections that are open suffer it too."""
        self.trouble = trouble
        if trouble is Trouble.REFUSED:
            assert self._server is not None
            self._server.close()
            self._server = None
        if trouble in (Trouble.REFUSED, Trouble.NONE):
            self._cut()
        if trouble is not Trouble.REFUSED and self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def _cut(self) -> None:
        for task in self._tasks:
            task.cancel()
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(self._socket)
        self._writers |= {writer, back}
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.create_task(self._pass(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while data := await source.read(65536):
                while self.trouble is Trouble.SILENT:
                    await asyncio.sleep(0.02)
                if self.trouble is Trouble.SLOW:
                    await asyncio.sleep(SLOW_S)
                sink.write(data)
                await sink.drain()
        sink.transport.abort()
        self._writers.discard(sink)
