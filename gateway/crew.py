"""Several workers and their settings: which they start with, and what a reload asks of them."""

from __future__ import annotations

from collections.abc import Callable

from gateway.app import Gateway
from gateway.reloads import Reloads
from gateway.settings import Settings
from gateway.settings.changes import holding, waiting
from gateway.supervisor import Asked, Post, Supervisor

Work = Callable[[Settings, Post], int]
"""Runs in a worker's process; its exit code."""


class Crew:
    """What :class:`gateway.supervisor.Supervisor` needs to know of settings. In the parent's process."""

    def __init__(
        self, settings: Settings, work: Work, reloads: Reloads, announce: Callable[[str], None]
    ) -> None:
        """``announce`` is told the URL. Raises ``OSError`` where the address can't be had."""
        self._began_with = self._wanted = settings
        self._settings = settings
        """Workers that start now get these."""
        self._made_with = [settings]
        """What those that run go by: several settings while they are replaced, and after that failed half-way."""
        self._reloads = reloads
        server = settings.server
        host = f"[{server.host}]" if ":" in server.host else server.host
        self._supervisor = Supervisor(
            lambda post: work(self._settings, post),
            host=server.host,
            port=server.port,
            workers=server.workers,
            drain_seconds=server.drain_seconds,
            reload=self._reload,
            replaced=self._replaced,
            not_replaced=self._not_replaced,
            announce=lambda: announce(f"http://{host}:{self._supervisor.port}"),
        )

    def run(self) -> int:
        """Until stopped; the exit code."""
        return self._supervisor.run()

    def _reload(self) -> Asked:
        gateway = self._reloads.read(Gateway)
        if gateway is None:
            return Asked.NOTHING
        self._wanted = gateway.settings
        fresh = self._settings = holding(self._began_with, self._wanted, self._waits())
        names = self._asking_for_workers()
        drain = fresh.server.drain_seconds
        if names:
            self._made_with.append(fresh)
            self._supervisor.drain_seconds = max(
                self._supervisor.drain_seconds, drain
            )  # the old ones have theirs
            self._reloads.replacing(names)
            return Asked.REPLACE
        self._made_with = [fresh]
        self._supervisor.drain_seconds = drain
        self._reloads.done(self._waits())
        return Asked.PASS_ON

    def _replaced(self) -> None:
        names = self._asking_for_workers()
        self._made_with = [self._settings]
        self._supervisor.drain_seconds = self._settings.server.drain_seconds
        self._reloads.done(self._waits(), names)

    def _not_replaced(self, problem: str, replaced: int) -> None:
        names = self._asking_for_workers()
        if not replaced:
            self._made_with.pop()
        self._settings = self._made_with[0]
        self._reloads.failed(problem, names)

    def _waits(self) -> tuple[str, ...]:
        return waiting(self._began_with, self._wanted).for_start

    def _asking_for_workers(self) -> tuple[str, ...]:
        """Settings in which a worker that runs may differ."""
        found = (name for made in self._made_with for name in waiting(made, self._settings).for_workers)
        return tuple(dict.fromkeys(found))
