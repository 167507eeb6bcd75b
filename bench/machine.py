"""Processes on their cores: starting, measuring and ending them. Linux only (``/proc``, CPU affinity)."""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

PROXY_CORE = 0
LOAD_CORE = 1
_CPU_CLOCK = 2
"""The kernel's name for the clock of what a process has run (CPUCLOCK_SCHED)."""
_IDLE = 0.005
"""Seconds of CPU between two looks that are no work left over from calls."""
_SET_PARENT_DEATH_SIGNAL = 1


class BenchError(Exception):
    """The run can't go on; the message says what to do."""


def require(*programs: str) -> None:
    """Raises :class:`BenchError` naming what is missing and how to get it."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        packages = " ".join(missing)
        raise BenchError(f"{', '.join(missing)} not found; on Debian: apt-get install {packages}")
    if len(os.sched_getaffinity(0)) < 2:
        raise BenchError("needs two cores: one for the proxy, one for the load and the upstream")


class Machine:
    """Starts processes and ends every one of them when left. Output goes to files in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[subprocess.Popen[bytes]] = []
        self._libc = ctypes.CDLL(None)

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 10
        for process in self._started:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def start(
        self, name: str, command: Sequence[str], core: int | None = None, env: dict[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """A process of its own group, on ``core`` if one is named; it dies with us. It prints to ``NAME.log``."""

        def prepare() -> None:
            if core is not None:
                os.sched_setaffinity(0, {core})
            most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
            self._libc.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)

        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                preexec_fn=prepare,  # noqa: PLW1509  the harness has no threads
                start_new_session=True,
                env={**os.environ, **(env or {})},
            )
        self._started.append(process)
        return process

    def log(self, name: str) -> str:
        """What that process has printed so far."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def until_listening(self, name: str, process: subprocess.Popen[bytes], port: int) -> None:
        """Waits until the port accepts connections; raises :class:`BenchError` with the log if it does not."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise BenchError(f"{name} does not listen on {port}:\n{self.log(name)[-2000:]}")


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def tree(pid: int) -> Iterator[int]:
    """The process and everything below it."""
    yield pid
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from tree(int(child))
    except OSError:
        return


def cpu_seconds(pid: int) -> float:
    """utime + stime of all threads, ended ones too, of the process and its descendants, to the nanosecond.

    The sum that ``/proc/PID/stat`` tells in steps of 10 ms, read from each process's own clock (clock_getcpuclockid(3)): of
    streams that keep a core a fifth busy for a second, ten milliseconds are five per cent.
    """
    total = 0
    for each in tree(pid):
        try:
            total += time.clock_gettime_ns(~each << 3 | _CPU_CLOCK)
        except OSError:
            continue
    return total / 1e9


def rss_bytes(pid: int) -> int:
    """Resident memory of the process and its descendants."""
    total = 0
    for each in tree(pid):
        try:
            total += int(Path(f"/proc/{each}/statm").read_text().split()[1])
        except OSError:
            continue
    return total * resource.getpagesize()


def settle(pid: int, quiet_s: float = 0.4, most_s: float = 8.0) -> None:
    """Waits until the process has been idle for ``quiet_s``: what it still writes belongs to the calls."""
    deadline = time.monotonic() + most_s
    last, since = cpu_seconds(pid), time.monotonic()
    while time.monotonic() < deadline:
        time.sleep(0.05)
        used = cpu_seconds(pid)
        if used - last > _IDLE:
            last, since = used, time.monotonic()
        elif time.monotonic() - since >= quiet_s:
            return
