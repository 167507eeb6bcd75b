"""``--workers N``: processes that share the port, restarted when they crash, replaced one by one, stopped together.

The parent only watches: it holds the port, forks, waits for signals. Each place has a socket of its own, bound to the
port with SO_REUSEPORT, so the kernel spreads connections over the places. SIGHUP has the settings read; what comes of
it is passed on, or the workers are replaced. SIGTERM and SIGINT stop all; a second one stops at once. Each worker holds
the reading end of a pipe whose writing end the parent holds: when the parent is killed, the pipe ends and the workers
stop in order.

A worker is replaced by an heir that listens on the very same socket. Once it does, the old one closes its copy, which
leaves the queue of the socket as it is: no connection is refused or reset. An heir that does not come to listen changes
nothing. A worker that crashes takes its socket with it: what waits there is better told at once.
"""

from __future__ import annotations

import enum
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
RETIRE: Final = signal.SIGUSR1
"""Tells a worker that its heir listens."""
READY_SECONDS: Final = 60.0
"""An heir that does not listen by then is given up."""
HOPELESS: Final = 78
"""Exit code of a worker that would fail again the same way (``EX_CONFIG``): all are stopped."""
_POLL_SECONDS: Final = 0.25
_START_POLL_SECONDS: Final = 0.02

_logger = logging.getLogger("gateway.supervisor")


class Asked(enum.Enum):
    """What a reload asks of the workers."""

    NOTHING = enum.auto()
    """The settings can't be used."""
    PASS_ON = enum.auto()
    """That they read the settings, too."""
    REPLACE = enum.auto()
    """That others take their places."""


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
        self.heir = 0
        """Process that is to take over, and does not listen yet; 0: none."""
        self.listener: socket.socket | None = None
        """Shared by all processes that ever had this place, until one of them crashed."""
        self.started = 0.0
        """When the last of the two was; monotonic, as all times here."""
        self.crashes = 0
        self.due = 0.0
        """When it may be started (again)."""
        self.outdated = False
        """Is to be replaced."""


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
        reload: Callable[[], Asked],
        replaced: Callable[[], None],
        not_replaced: Callable[[str, int], None],
        announce: Callable[[], None],
    ) -> None:
        """``reload`` reads the settings; ``replaced`` hears that all workers were, ``not_replaced`` why not, and how many
        were. ``announce`` is called once, when the first worker takes connections. Raises ``OSError``."""
        self._work = work
        self._host = host
        self._reload = reload
        self._replaced = replaced
        self._not_replaced = not_replaced
        self.drain_seconds = drain_seconds
        self._slots = [Slot(number) for number in range(workers)]
        refuse_taken(host, port)
        self._holder = shared_socket(host, port)
        self.port = int(self._holder.getsockname()[1])
        self._announce: Callable[[], None] | None = announce
        self._stopping = False
        self._clean = True
        self._replacing = False
        self._handed_over = 0
        """Places, since workers began to be replaced."""
        self._leaving: dict[int, float] = {}
        """Workers that were replaced, and when they are killed."""
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
                self._replace_next()
            calm = self._announce is None and not self._replacing
            received = signal.sigtimedwait(WATCHED, _POLL_SECONDS if calm else _START_POLL_SECONDS)
            if received is not None and not self._obey(received.si_signo):
                return 1
            self._hear()
            self._reap()
            if self._stopping and not any(self._pids()):
                return 0 if self._clean else 1
            self._kill_late()

    def _obey(self, number: int) -> bool:
        """False: end now."""
        if number in (signal.SIGTERM, signal.SIGINT):
            if self._stopping:
                self._signal_all(signal.SIGKILL)
                return False
            self._stop()
        elif number == signal.SIGHUP and not self._stopping:
            asked = self._reload()
            if asked is Asked.PASS_ON:
                self._signal_all(signal.SIGHUP)
            elif asked is Asked.REPLACE:
                self._replacing, self._handed_over = True, 0
                for slot in self._slots:
                    slot.outdated = True
        return True

    def _stop(self) -> None:
        self._stopping = True
        self._kill_at = time.monotonic() + self.drain_seconds + GRACE_SECONDS
        for slot in self._slots:
            self._let_go(slot)  # or the port would go on taking connections that nobody answers
        self._signal_all(signal.SIGTERM)

    def _fill_slots(self) -> None:
        now = time.monotonic()
        for slot in self._slots:
            if not (slot.pid or slot.heir or slot.outdated) and slot.due <= now:
                slot.pid = self._start(slot)

    def _start(self, slot: Slot) -> int:
        """The process id of a new worker for this place."""
        if slot.listener is None:
            slot.listener = shared_socket(self._host, self.port)
        slot.started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(self._held_line)
                os.close(self._heard)
                for other in self._slots:
                    if other is not slot:
                        self._let_go(other)
                # Signals stay blocked until the worker handles them itself.
                code = self._work(Post(slot.listener, self._lifeline, self._ready))
            except Exception:  # a child's last word: it must not unwind into the parent's code
                _logger.exception("worker %d failed", slot.number)
            finally:
                os._exit(code)
        return pid

    def _ready(self) -> None:
        """In the worker."""
        os.write(self._say, b"%d\n" % os.getpid())

    def _hear(self) -> None:
        """Note the workers that listen."""
        try:
            heard = os.read(self._heard, 4096)  # whole lines: a pipe takes short ones at once
        except BlockingIOError:
            return
        if self._announce is not None:
            self._announce()
            self._announce = None
        pids = {int(line) for line in heard.split()}
        for slot in self._slots:
            if slot.heir in pids:
                old, slot.pid, slot.heir = slot.pid, slot.heir, 0
                self._handed_over += 1
                if old:
                    self._leaving[old] = time.monotonic() + self.drain_seconds + GRACE_SECONDS
                    os.kill(old, RETIRE)

    def _replace_next(self) -> None:
        """One worker after the other: there is never more than one that only starts."""
        if not self._replacing or any(slot.heir for slot in self._slots):
            return
        for slot in self._slots:
            if (
                slot.outdated and slot.due <= time.monotonic()
            ):  # one that crashed meanwhile has an heir all the same
                slot.outdated = False
                slot.heir = self._start(slot)
                return
        if not any(slot.outdated for slot in self._slots):
            self._replacing = False
            self._replaced()

    def _stop_replacing(self, why: str) -> None:
        self._replacing = False
        for slot in self._slots:
            slot.outdated = False
        self._not_replaced(why, self._handed_over)

    def _reap(self) -> None:
        """Note the workers that ended."""
        for pid in list(self._leaving):
            code = _ended(pid)
            if code is not None:
                del self._leaving[pid]
                if code:
                    _logger.error("a worker that was replaced ended with code %d", code)
        for slot in self._slots:
            code = _ended(slot.heir)
            if code is not None:
                slot.heir = 0
                self._without_heir(slot, code)
            code = _ended(slot.pid)
            if code is not None:
                slot.pid = 0
                self._without_worker(slot, code)

    def _without_heir(self, slot: Slot, code: int) -> None:
        if self._stopping:
            self._clean &= code == 0
            return
        self._stop_replacing(
            f"a new worker ended with code {code} before it took calls (the log has the reason); "
            "those that run go on with their settings"
        )
        if not slot.pid:  # it crashed meanwhile
            self._plan_restart(slot, code)

    def _without_worker(self, slot: Slot, code: int) -> None:
        if self._stopping:
            self._clean &= code == 0
        elif slot.heir:
            _logger.error("worker %d ended with code %d while it was replaced", slot.number, code)
        elif code == HOPELESS:
            _logger.error("worker %d can't start and would fail again the same way; stopping", slot.number)
            self._clean = False
            self._stop()
        else:
            self._plan_restart(slot, code)

    def _plan_restart(self, slot: Slot, code: int) -> None:
        self._let_go(slot)
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

    def _let_go(self, slot: Slot) -> None:
        """Of the place's socket, in this process."""
        if slot.listener is not None:
            slot.listener.close()
            slot.listener = None

    def _kill_late(self) -> None:
        now = time.monotonic()
        for pid, end in self._leaving.items():
            if now > end:
                _logger.error("a worker that was replaced did not end in time; killing it")
                os.kill(pid, signal.SIGKILL)
        for slot in self._slots:
            if slot.heir and now > slot.started + READY_SECONDS:
                _logger.error("a new worker takes no calls after %g s; killing it", READY_SECONDS)
                os.kill(slot.heir, signal.SIGKILL)
        if now > self._kill_at:
            allowed = self.drain_seconds + GRACE_SECONDS
            _logger.error("workers did not end within %g s; killing them", allowed)
            self._signal_all(signal.SIGKILL)
            self._kill_at = float("inf")

    def _pids(self) -> list[int]:
        """Of all processes that have not ended."""
        return [
            pid
            for pid in (*self._leaving, *(pid for slot in self._slots for pid in (slot.pid, slot.heir)))
            if pid
        ]

    def _signal_all(self, number: signal.Signals) -> None:
        for pid in self._pids():
            os.kill(pid, number)


def _ended(pid: int) -> int | None:
    """The exit code of a child that has ended; ``None`` while it lives, and for no child (0)."""
    if not pid:
        return None
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


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
