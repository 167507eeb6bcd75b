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
from typing import Final
from urllib.parse import unquote, urlsplit

from gateway.app import Gateway, needs_restart
from gateway.open_files import connections_that_fit, raise_limit
from gateway.presence import Presence
from gateway.settings import Settings, SettingsError
from gateway.supervisor import HOPELESS, WATCHED, Post, Supervisor
from storage.targets.contract import SchemaTooNew
from telemetry.redact import Redactor, install

Announce = Callable[[str], None]
"""Told the gateway's URL once it takes calls."""
Reread = Callable[[], Settings]
"""Reads the settings again; raises :class:`SettingsError`."""

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
    presence = Presence.claim(folder)
    if presence is None:
        _logger.warning("another gateway runs on %s: 'weighbridge reload' reaches that one", folder)
    try:
        if settings.server.workers > 1:
            return _supervise(settings, Worker(reread, presence, redactor), announce)
        return Worker(reread, presence, redactor).run(settings, announce)
    finally:
        if presence is not None:
            presence.release()


def _supervise(settings: Settings, worker: Worker, announce: Announce) -> int:
    server = settings.server

    def work(post: Post) -> int:
        if worker.presence is not None:
            worker.presence.forget()
        return Worker(worker.reread, None, worker.redactor, post).run(settings, lambda url: post.ready())

    def readable() -> bool:
        try:
            fresh = worker.reread()
            Gateway(fresh)
        except SettingsError as error:
            worker.refused(error)
            return False
        worker.report((), needs_restart(settings, fresh))
        return True

    host = f"[{server.host}]" if ":" in server.host else server.host
    supervisor = Supervisor(
        work,
        host=server.host,
        port=server.port,
        workers=server.workers,
        drain_seconds=server.drain_seconds,
        reload_ok=readable,
        announce=lambda: announce(f"http://{host}:{supervisor.port}"),
    )
    return supervisor.run()


class Worker:
    """One serving process. ``post``: its place under a supervisor; ``None``: it is alone."""

    def __init__(
        self, reread: Reread, presence: Presence | None, redactor: Redactor, post: Post | None = None
    ) -> None:
        self.reread = reread
        self.presence = presence
        self.redactor = redactor
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
        """Serve until SIGTERM or SIGINT; a second signal exits at once, SIGHUP takes new settings over."""
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        gateway = Gateway(settings)

        def on_stop() -> None:
            if stop.is_set() and self._post is None:
                _logger.warning(
                    "stopped at once; what still ran is recorded as interrupted by the next start"
                )
                os._exit(1)
            if not stop.is_set():
                running, seconds = len(gateway.live), settings.server.drain_seconds
                _logger.info("stopping: %d running calls have %g s to finish", running, seconds)
            stop.set()

        loop.add_signal_handler(signal.SIGHUP, lambda: self._reload(gateway))
        loop.add_signal_handler(signal.SIGTERM, on_stop)
        # A terminal's Ctrl-C reaches every process of the group: under a supervisor, the parent decides.
        loop.add_signal_handler(signal.SIGINT, on_stop if self._post is None else _ignore)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        if self._post is not None:
            self._watch_parent(loop, self._post.lifeline, stop)
        await gateway.start(self._post.listener if self._post is not None else None)
        settle_memory()
        announce(gateway.url)
        await stop.wait()
        await gateway.stop()
        kept = gateway.ledger.stats()
        waits = f", {kept.spooled} wait in the spool for the next start" if kept.spooled else ""
        _logger.info("stopped: %d calls accepted, %d recorded%s", kept.accepted, kept.recorded, waits)

    def _watch_parent(self, loop: asyncio.AbstractEventLoop, lifeline: int, stop: asyncio.Event) -> None:
        def orphaned() -> None:
            loop.remove_reader(lifeline)
            _logger.error("the supervisor is gone; stopping")
            stop.set()

        loop.add_reader(lifeline, orphaned)

    def _reload(self, gateway: Gateway) -> None:
        try:
            waits = gateway.adopt(self.reread())
        except SettingsError as error:
            self.refused(error)
            return
        self.redactor.register(*secrets_of(gateway))
        self.report((), waits)

    def refused(self, error: SettingsError) -> None:
        _logger.error("reload refused, the old settings stay: %s", error)
        self.report(tuple(str(problem) for problem in error.problems))

    def report(self, problems: tuple[str, ...], waits: tuple[str, ...] = ()) -> None:
        """Log a reload, and tell it to whoever asked for it."""
        if not problems:
            _logger.info("settings reloaded")
            if waits:
                _logger.warning("changes in %s take effect at the next start", ", ".join(waits))
        if self.presence is not None:
            try:
                self.presence.note_reload(problems, waits)
            except OSError as error:
                _logger.warning("the outcome of the reload could not be noted: %s", error)


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


def secrets_of(gateway: Gateway) -> set[str]:
    """Every secret value this gateway was given, from the settings or the environment."""
    settings, plan = gateway.settings, gateway.telemetry.plan
    found = {one.key.get_secret_value() for one in gateway.table.destinations.values() if one.key is not None}
    found |= {
        secret.get_secret_value() for one in gateway.table.destinations.values() for secret in one.secrets
    }
    found |= {
        value
        for signal_ in (plan.traces, plan.metrics)
        if signal_ is not None
        for _, value in signal_.headers
    }
    found |= gateway.alerts.secrets()
    if settings.auth.admin_secret is not None:
        found.add(settings.auth.admin_secret.get_secret_value())
    if settings.storage.url is not None:
        found.add(unquote(urlsplit(settings.storage.url).password or ""))
    return found - {""}


def settle_memory() -> None:
    """Take the start-up heap out of the garbage collector: a full collection of it pauses for 20 to 65 ms."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(
        20_000, 50, 100
    )  # calls leave no cycles behind: looking for some at every turn costs 3 us a call
