"""``weighbridge serve``: one worker in this process, or several under the supervisor; signals, reload, logging."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final

from gateway.app import Gateway
from gateway.settings import Settings, SettingsError
from gateway.supervisor import Supervisor
from telemetry.redact import Redactor, install

Announce = Callable[[str], None]
"""Told the gateway's URL once it takes calls."""
Reread = Callable[[], Settings]
"""Reads the settings again; raises :class:`SettingsError`."""

LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_logger = logging.getLogger("gateway")


def serve(settings: Settings, announce: Announce, reread: Reread) -> int:
    """Run until stopped; the process's exit code.

    Raises :class:`SettingsError` for what can only be seen when the parts are put together, and ``OSError`` when
    the address can't be bound or the data folder can't be written.
    """
    log_to_stderr(settings)
    Gateway(settings)  # what is wrong is said here, once, and not by each worker
    server = settings.server
    if server.workers == 1:
        return _run(settings, None, announce, reread)

    def work(listener: socket.socket) -> int:
        return _run(settings, listener, lambda url: None, reread)

    supervisor = Supervisor(
        work,
        host=server.host,
        port=server.port,
        workers=server.workers,
        drain_seconds=server.drain_seconds,
        reload_ok=lambda: _readable(reread),
    )
    host = f"[{server.host}]" if ":" in server.host else server.host
    announce(f"http://{host}:{supervisor.port}")
    return supervisor.run()


def log_to_stderr(settings: Settings) -> None:
    """Log lines on stderr, every one through the redaction sink."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    secrets = [
        one.api_key.get_secret_value() for one in settings.providers.values() if one.api_key is not None
    ]
    if settings.auth.admin_secret is not None:
        secrets.append(settings.auth.admin_secret.get_secret_value())
    install(Redactor(secrets), [handler])


def _run(settings: Settings, listener: socket.socket | None, announce: Announce, reread: Reread) -> int:
    work = _until_signal(settings, listener, announce, reread)
    if settings.server.uvloop:
        import uvloop

        uvloop.run(work)
    else:
        asyncio.run(work)
    return 0


async def _until_signal(
    settings: Settings, listener: socket.socket | None, announce: Announce, reread: Reread
) -> None:
    """One worker until SIGTERM or SIGINT; a second signal exits at once, SIGHUP takes new settings over."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    gateway = Gateway(settings)

    def on_stop() -> None:
        if stop.is_set():
            os._exit(1)
        stop.set()

    def on_reload() -> None:
        try:
            waits = gateway.adopt(reread())
        except SettingsError as error:
            _logger.error("reload refused, the old settings stay: %s", error)
        else:
            _logger.info("settings reloaded")
            if waits:
                _logger.warning("changes in %s take effect at the next start", ", ".join(waits))

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_stop)
    loop.add_signal_handler(signal.SIGHUP, on_reload)
    await gateway.start(listener)
    settle_memory()
    announce(gateway.url)
    await stop.wait()
    await gateway.stop()


def _readable(reread: Reread) -> bool:
    try:
        Gateway(reread())
    except SettingsError as error:
        _logger.error("reload refused, the old settings stay: %s", error)
        return False
    return True


def settle_memory() -> None:
    """Take the start-up heap out of the garbage collector: a full collection of it pauses for 20 to 65 ms."""
    gc.collect()
    gc.freeze()
