"""``--workers N``: processes that share the port, restarted when they crash, stopped together.

The parent only watches: it holds the port (bound, never listening), forks, waits for signals. Workers bind the same
port with SO_REUSEPORT, so the kernel spreads connections over them. SIGHUP is passed on after the settings were
found good, SIGTERM and SIGINT stop all; a second one stops at once. Each worker holds the reading end of a pipe
whose writing end the parent holds: when the parent is killed, the pipe ends and the workers stop in order.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Final

import msgspec

WATCHED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
BACKOFF_SECONDS: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Pauses before a worker that keeps crashing is started again."""
STEADY_SECONDS: Final = 10.0
"""A worker that lived this long starts with a fresh back-off."""
GRACE_SECONDS: Final = 10.0
"""Beyond the drain time, before workers that do not end are killed."""
HOPELESS: Final = 78
"""Exit code of a worker that would fail again the same way (``EX_CONFIG``): all are stopped."""
_POLL_SECONDS: Final = 0.25
_START_POLL_SECONDS: Final = 0.02

_logger = logging.getLogger("gateway.supervisor")


class Post(msgspec.Struct, frozen=True):
    """What a worker is given."""

    listener: socket.socket
    """Bound, not listening yet."""
    lifeline: int
    """Descriptor that reads end-of-file once the parent is gone."""
    ready: Callable[[], None]
    """To be called once it takes connections."""


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
    """See the module. ``work(post)`` runs in the child and returns its exit code."""

    def __init__(
        self,
        work: Callable[[Post], int],
        *,
        host: str,
        port: int,
        workers: int,
        drain_seconds: float,
        reload_ok: Callable[[], bool],
        announce: Callable[[], None],
    ) -> None:
        """``announce`` is called once, when the first worker takes connections. Raises ``OSError``."""
        self._work = work
        self._host = host
        self._reload_ok = reload_ok
        self._drain = drain_seconds
        self._slots = [Slot(number) for number in range(workers)]
        refuse_taken(host, port)
        self._holder = shared_socket(host, port)
        self.port = int(self._holder.getsockname()[1])
        self._announce: Callable[[], None] | None = announce
        self._stopping = False
        self._clean = True
        self._kill_at = float("inf")
        self._lifeline, self._held_line = os.pipe()
        self._heard, self._say = os.pipe()
        os.set_blocking(self._heard, False)

    def run(self) -> int:
        """Until stopped. Exit code 0 when every worker ended well after a stop, else 1."""
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        while True:
            if not self._stopping:
                self._fill_slots()
            poll = _POLL_SECONDS if self._announce is None else _START_POLL_SECONDS
            received = signal.sigtimedwait(WATCHED, poll)
            if received is not None and not self._obey(received.si_signo):
                return 1
            self._hear()
            self._reap()
            if self._stopping and not any(slot.pid for slot in self._slots):
                return 0 if self._clean else 1
            if time.monotonic() > self._kill_at:
                _logger.error("workers did not end within %g s; killing them", self._drain + GRACE_SECONDS)
                self._signal_all(signal.SIGKILL)
                self._kill_at = float("inf")

    def _obey(self, number: int) -> bool:
        """False: end now."""
        if number in (signal.SIGTERM, signal.SIGINT):
            if self._stopping:
                self._signal_all(signal.SIGKILL)
                return False
            self._stop()
        elif number == signal.SIGHUP and not self._stopping and self._reload_ok():
            self._signal_all(signal.SIGHUP)
        return True

    def _stop(self) -> None:
        self._stopping = True
        self._kill_at = time.monotonic() + self._drain + GRACE_SECONDS
        self._signal_all(signal.SIGTERM)

    def _fill_slots(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if not slot.pid and slot.due <= now:
                self._start(slot)

    def _start(self, slot: Slot) -> None:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(self._held_line)
                os.close(self._heard)
                # Signals stay blocked until the worker handles them itself.
                code = self._work(Post(shared_socket(self._host, self.port), self._lifeline, self._ready))
            except Exception:  # a child's last word: it must not unwind into the parent's code
                _logger.exception("worker %d failed", slot.number)
            finally:
                os._exit(code)
        slot.pid = pid
        slot.started = time.monotonic()

    def _ready(self) -> None:
        """In the worker."""
        os.write(self._say, b"1")

    def _hear(self) -> None:
        try:
            heard = os.read(self._heard, 4096)
        except BlockingIOError:
            return
        if heard and self._announce is not None:
            self._announce()
            self._announce = None

    def _reap(self) -> None:
        """Note the workers that ended."""
        for slot in self._slots:
            if not slot.pid:
                continue
            pid, status = os.waitpid(slot.pid, os.WNOHANG)
            if pid == 0:
                continue
            code = os.waitstatus_to_exitcode(status)
            slot.pid = 0
            if self._stopping:
                self._clean &= code == 0
            elif code == HOPELESS:
                _logger.error(
                    "worker %d can't start and would fail again the same way; stopping", slot.number
                )
                self._clean = False
                self._stop()
            else:
                self._plan_restart(slot, code)

    def _plan_restart(self, slot: Slot, code: int) -> None:
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

    def _signal_all(self, number: signal.Signals) -> None:
        for slot in self._slots:
            if slot.pid:
                os.kill(slot.pid, number)


def refuse_taken(host: str, port: int) -> None:
    """Raises ``OSError`` if somebody listens there, even one that shares: another gateway would get half our calls."""
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))


def shared_socket(host: str, port: int) -> socket.socket:
    """A bound TCP socket that others may bind too; raises ``OSError`` if the port is taken by somebody else."""
    bound = socket.socket(_family(host), socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.setblocking(False)
    bound.bind((host, port))
    return bound


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
