"""``--workers N``: processes that share the port, restarted when they crash, stopped together.

The parent only watches: it holds the port (bound, never listening), forks, waits for signals. Workers bind the same
port with SO_REUSEPORT, so the kernel spreads connections over them. SIGHUP is passed on after the settings were
found good, SIGTERM and SIGINT stop all; a second one stops at once.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Final

WATCHED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
BACKOFF_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Pauses before a worker that keeps crashing is started again."""
STEADY_SECONDS: Final = 10.0
"""A worker that lived this long starts with a fresh back-off."""
GRACE_SECONDS: Final = 10.0
"""Beyond the drain time, before workers that do not end are killed."""

_logger = logging.getLogger("gateway.supervisor")


class Slot:
    """One worker's place: its process, and how often it has crashed in a row."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid = 0
        self.started = 0.0
        self.crashes = 0
        self.due = 0.0
        """When it may be started (again); monotonic."""


class Supervisor:
    """See the module. ``work(listener)`` runs in the child and returns its exit code."""

    def __init__(
        self,
        work: Callable[[socket.socket], int],
        *,
        host: str,
        port: int,
        workers: int,
        drain_seconds: float,
        reload_ok: Callable[[], bool],
    ) -> None:
        self._work = work
        self._host = host
        self._reload_ok = reload_ok
        self._drain = drain_seconds
        self._slots = [Slot(number) for number in range(workers)]
        self._holder = shared_socket(host, port)
        self.port = int(self._holder.getsockname()[1])
        self._stopping = False

    def run(self) -> int:
        """Until stopped. Exit code 0 when every worker ended well after a stop, else 1."""
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        clean = True
        kill_at = float("inf")
        while True:
            now = time.monotonic()
            if not self._stopping:
                for slot in self._slots:
                    if not slot.pid and slot.due <= now:
                        self._start(slot)
            received = signal.sigtimedwait(WATCHED, 0.25)
            if received is not None and received.si_signo in (signal.SIGTERM, signal.SIGINT):
                if self._stopping:
                    self._signal_all(signal.SIGKILL)
                    return 1
                self._stopping = True
                kill_at = now + self._drain + GRACE_SECONDS
                self._signal_all(signal.SIGTERM)
            elif received is not None and received.si_signo == signal.SIGHUP and self._reload_ok():
                self._signal_all(signal.SIGHUP)
            clean &= self._reap()
            if self._stopping and not any(slot.pid for slot in self._slots):
                return 0 if clean else 1
            if time.monotonic() > kill_at:
                _logger.error("workers did not end within %g s; killing them", self._drain + GRACE_SECONDS)
                self._signal_all(signal.SIGKILL)
                kill_at = float("inf")

    def _start(self, slot: Slot) -> None:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
                code = self._work(shared_socket(self._host, self.port))
            finally:
                os._exit(code)
        slot.pid = pid
        slot.started = time.monotonic()

    def _reap(self) -> bool:
        """Note the workers that ended; ``False`` if one did not end well."""
        clean = True
        for slot in self._slots:
            if not slot.pid:
                continue
            pid, status = os.waitpid(slot.pid, os.WNOHANG)
            if pid == 0:
                continue
            code = os.waitstatus_to_exitcode(status)
            slot.pid = 0
            if self._stopping:
                clean &= code == 0
                continue
            lived = time.monotonic() - slot.started
            slot.crashes = 0 if lived >= STEADY_SECONDS else slot.crashes + 1
            pause = BACKOFF_SECONDS[min(slot.crashes, len(BACKOFF_SECONDS) - 1)]
            slot.due = time.monotonic() + pause
            _logger.error(
                "worker %d ended with code %d after %.1f s; starting it again in %g s",
                slot.number,
                code,
                lived,
                pause,
            )
        return clean

    def _signal_all(self, number: signal.Signals) -> None:
        for slot in self._slots:
            if slot.pid:
                os.kill(slot.pid, number)


def shared_socket(host: str, port: int) -> socket.socket:
    """A bound TCP socket that others may bind too; raises ``OSError`` if the port is taken by somebody else."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.setblocking(False)
    bound.bind((host, port))
    return bound
