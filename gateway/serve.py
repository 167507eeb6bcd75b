"""``weighbridge serve``: one worker in this process, or several under the supervisor; signals, reload, logging."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Final

from gateway.app import Gateway
from gateway.crew import Crew
from gateway.open_files import connections_that_fit, raise_limit
from gateway.presence import Presence
from gateway.reloads import Reloads, Reread, secrets_of
from gateway.settings import Settings
from gateway.supervisor import HOPELESS, RETIRE, WATCHED, Post
from storage.targets.contract import SchemaTooNew
from telemetry.redact import Redactor, install

Announce = Callable[[str], None]
"""Told the gateway's URL once it takes calls."""

LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s[%(process)d]: %(message)s"
"""``2026-11-21T12:00:00.123Z INFO gateway[4711]: settings reloaded``; the number is the process's."""

_logger = logging.getLogger("gateway")


def serve(settings: Settings, announce: Announce, reread: Reread, *, debug: bool = False) -> int:
    """Run until stopped; the process's exit code.

    Raises :class:`SettingsError` for what can only be seen when the parts are put together, and ``OSError`` when
    the address can't be bound or the data folder can't be written.
    """
    redactor = log_to_stderr(debug=debug)
    gateway = Gateway(settings)  # what is wrong is said here, once, and not by each worker
    redactor.register(*secrets_of(gateway))
    raise_limit(settings.limits.connections)
    if connections_that_fit(settings.limits.connections) < settings.limits.connections:
        _logger.info(
            "the system's limit of open files leaves room for %d connections of limits.connections = %d",
            connections_that_fit(settings.limits.connections),
            settings.limits.connections,
        )
    folder = settings.storage.data_dir
    signal.pthread_sigmask(
        signal.SIG_BLOCK, (signal.SIGHUP,)
    )  # who finds us may send it before we can take it
    presence = Presence.claim(folder)
    if presence is None:
        _logger.warning("another gateway runs on %s: 'weighbridge reload' reaches that one", folder)
    try:
        reloads = Reloads(reread, redactor, presence)
        if settings.server.workers == 1:
            return Worker(reloads).run(settings, announce)

        def work(settings: Settings, post: Post) -> int:
            if presence is not None:
                presence.forget()
            return Worker(Reloads(reread, redactor), post).run(settings, lambda url: post.ready())

        return Crew(settings, work, reloads, announce).run()
    finally:
        if presence is not None:
            presence.release()


class Worker:
    """One serving process. ``post``: its place under a supervisor; ``None``: it is alone."""

    def __init__(self, reloads: Reloads, post: Post | None = None) -> None:
        self._reloads = reloads
        self._post = post

    def run(self, settings: Settings, announce: Announce) -> int:
        work = self._until_signal(settings, announce)
        try:
            if settings.server.uvloop:
                import uvloop

                uvloop.run(work)
            else:
                asyncio.run(work)
        except SchemaTooNew as error:
            if self._post is None:
                raise
            _logger.error("%s", error)
            return HOPELESS
        return 0

    async def _until_signal(self, settings: Settings, announce: Announce) -> None:
        """Serve until SIGTERM or SIGINT; a second signal exits at once, SIGHUP takes new settings over, and
        :data:`RETIRE` leaves the port to a successor."""
        loop, stop, end = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        gateway = Gateway(settings)

        def on_stop() -> None:
            if stop.is_set() and self._post is None:
                _logger.warning(
                    "stopped at once; what still ran is recorded as interrupted by the next start"
                )
                os._exit(1)
            if not stop.is_set():
                say("stopping")
            stop.set()
            end.set()

        def on_retire() -> None:
            if not end.is_set():
                say("replaced")
            end.set()

        def say(what: str) -> None:
            running, seconds = len(gateway.live), gateway.settings.server.drain_seconds
            _logger.info("%s: %d running calls have %g s to finish", what, running, seconds)

        # Under a supervisor, the parent tells what is not taken over, and replaces workers.
        reload = partial(self._reloads.into, gateway, tells_waits=self._post is None)
        loop.add_signal_handler(signal.SIGHUP, reload)
        loop.add_signal_handler(signal.SIGTERM, on_stop)
        # A terminal's Ctrl-C reaches every process of the group: under a supervisor, the parent decides.
        loop.add_signal_handler(signal.SIGINT, on_stop if self._post is None else _ignore)
        if self._post is not None:
            loop.add_signal_handler(RETIRE, on_retire)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, set(WATCHED) - {signal.SIGHUP})
        if self._post is not None:
            self._watch_parent(loop, self._post.lifeline, on_stop)
        await gateway.start(self._post.listener if self._post is not None else None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGHUP,))
        settle_memory()
        announce(gateway.url)
        await end.wait()
        if stop.is_set():
            await gateway.stop()
        else:
            await gateway.retire(stop)
        kept = gateway.ledger.stats()
        waits = f", {kept.spooled} wait in the spool for the next start" if kept.spooled else ""
        _logger.info("stopped: %d calls accepted, %d recorded%s", kept.accepted, kept.recorded, waits)

    def _watch_parent(self, loop: asyncio.AbstractEventLoop, lifeline: int, stop: Callable[[], None]) -> None:
        def orphaned() -> None:
            loop.remove_reader(lifeline)
            _logger.error("the supervisor is gone; stopping")
            stop()

        loop.add_reader(lifeline, orphaned)


def _ignore() -> None:
    """For a signal that somebody else answers."""


def log_to_stderr(*, debug: bool = False) -> Redactor:
    """Log lines on stderr, every one through the redaction sink that is returned."""
    handler = logging.StreamHandler(sys.stderr)
    formatter = logging.Formatter(LOG_FORMAT)
    formatter.converter = time.gmtime
    formatter.default_time_format = "%Y-%m-%dT%H:%M:%S"
    formatter.default_msec_format = "%s.%03dZ"
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.DEBUG if debug else logging.INFO, handlers=[handler], force=True)
    for library in ("alembic", "aiosqlite"):  # the latter tells every statement with its values
        logging.getLogger(library).setLevel(logging.WARNING)
    redactor = Redactor()
    install(redactor, [handler])
    return redactor


def settle_memory() -> None:
    """Take the start-up heap out of the garbage collector: a full collection of it pauses for 20 to 65 ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(
        20_000, 50, 100
    )  # calls leave no cycles behind: looking for some at every turn costs 3 us a call
