"""A provider that does what it is told, over plain TCP, and keeps a ledger of what it saw."""

from __future__ import annotations

import asyncio
import collections
import socket
import ssl as ssl_module
from collections.abc import Callable
from types import TracebackType

from rig.connection import Peer, Seen
from rig.script import Script, reply

WAIT = 10.0
"""Seconds after which a test that waits for something has failed; never reached by a test that passes."""


class ScriptedUpstream:
    """``async with ScriptedUpstream() as upstream``; ``upstream.play(script, ...)`` queues scripts.

    Requests take scripts in the order they arrive. When the queue is empty, ``default`` answers. ``routes``
    (path without query -> script) go before the queue.
    """

    def __init__(self, default: Script | None = None, ssl: ssl_module.SSLContext | None = None) -> None:
        self.default = default or reply(json={"ok": True})
        self.routes: dict[str, Script] = {}
        self.peers: list[Peer] = []
        self.requests: list[Seen] = []
        """Every request whose head arrived, in order."""
        self.port = 0
        self._queue: collections.deque[Script] = collections.deque()
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._ssl = ssl

    @property
    def base(self) -> str:
        """``http://127.0.0.1:PORT``"""
        return f"http{'s' if self._ssl else ''}://127.0.0.1:{self.port}"

    def play(self, *scripts: Script) -> None:
        """Queues scripts, one per coming request."""
        self._queue.extend(scripts)

    async def __aenter__(self) -> ScriptedUpstream:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, "127.0.0.1", 0, ssl=self._ssl, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop_listening()
        for peer in self.peers:
            await peer.stop()

    async def stop_listening(self) -> None:
        """From now on connections are refused; open ones stay."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def _accept(self) -> Peer:
        peer = Peer(len(self.peers), self._serve)
        self.peers.append(peer)
        return peer

    async def _serve(self, peer: Peer) -> None:
        while (seen := await peer.next_request()) is not None:
            self.requests.append(seen)
            async with self._changed:
                self._changed.notify_all()
            await self._script_for(seen)(peer, seen)
            if not seen.complete:
                return

    def _script_for(self, seen: Seen) -> Script:
        routed = self.routes.get(seen.target.partition("?")[0])
        if routed is not None:
            return routed
        return self._queue.popleft() if self._queue else self.default

    async def until(self, met: Callable[[], bool]) -> None:
        """Waits until ``met()``, looked at with every request that arrives."""
        async with asyncio.timeout(WAIT), self._changed:
            await self._changed.wait_for(met)

    async def seen(self, count: int = 1) -> Seen:
        """Waits for the head of the ``count``-th request and returns it."""
        await self.until(lambda: len(self.requests) >= count)
        return self.requests[count - 1]

    async def left(self, connection: int = 0) -> Peer:
        """Waits until the other side has closed that connection."""
        peer = self.peers[connection]
        async with asyncio.timeout(WAIT):
            await peer.gone.wait()
        return peer

    @property
    def open_connections(self) -> int:
        return sum(1 for peer in self.peers if not (peer.gone.is_set() or peer.lost.is_set()))


class Unreachable:
    """A loopback address that refuses connections: a bound socket that does not listen."""

    def __enter__(self) -> str:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __exit__(self, *_: object) -> None:
        self._socket.close()
