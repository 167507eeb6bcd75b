"""Who runs on a data folder: a pid file that is locked while its process lives, and how the last reload went."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

PID_FILE: Final = "weighbridge.pid"
"""Holds the decimal process id, as ``kill -HUP $(cat weighbridge.pid)`` wants it."""
RELOAD_FILE: Final = "reload.json"
RESTART: Final = "stop the gateway and start it again"
"""What to do about :attr:`Reloaded.waits`."""
_LOOKS: Final = 100
_LOOK_S: Final = 0.01
"""How often, and how long after, a folder is claimed again that a command just looks at: that takes it microseconds."""


class Reloaded(msgspec.Struct, frozen=True):
    """What became of the last reload."""

    at_ns: int
    """UTC nanoseconds."""
    problems: tuple[str, ...] = ()
    """Why it was refused; empty: it was taken over."""
    waits: tuple[str, ...] = ()
    """Settings whose changes take effect when the gateway is stopped and started."""
    workers: tuple[str, ...] = ()
    """Settings for which the workers are replaced, or were to be."""
    ended: bool = True
    """Nothing more follows; workers that are replaced take a while."""


class Presence:
    """The mark of a running gateway on its data folder."""

    def __init__(self, folder: Path, fd: int) -> None:
        self._folder = folder
        self._fd = fd

    @classmethod
    def claim(cls, folder: Path, pause: Callable[[float], None] = time.sleep) -> Presence | None:
        """Mark the folder; ``None`` if another gateway runs on it already. Raises ``OSError``."""
        folder.mkdir(parents=True, exist_ok=True)
        for _ in range(_LOOKS):
            fd = os.open(folder / PID_FILE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
            if _locked(fd, fcntl.LOCK_EX) and _is_at(folder / PID_FILE, fd):
                os.ftruncate(fd, 0)
                os.pwrite(fd, b"%d\n" % os.getpid(), 0)
                return cls(folder, fd)
            # Who only looks shares the lock, and soon lets go of it; a gateway shares it with nobody.
            only_looked_at = _locked(fd, fcntl.LOCK_SH)
            os.close(fd)
            if not only_looked_at:
                return None
            pause(_LOOK_S)
        return None

    def note_reload(self, reloaded: Reloaded) -> None:
        """Tell whoever asked for the reload. Raises ``OSError``."""
        made = self._folder / f"{RELOAD_FILE}.new"
        made.write_bytes(msgspec.json.encode(reloaded))
        made.replace(self._folder / RELOAD_FILE)

    def forget(self) -> None:
        """In a forked worker: leave the mark to the parent alone."""
        os.close(self._fd)

    def release(self) -> None:
        (self._folder / PID_FILE).unlink(missing_ok=True)
        (self._folder / RELOAD_FILE).unlink(missing_ok=True)
        os.close(self._fd)


def _locked(fd: int, how: int) -> bool:
    """Is the file locked now, without waiting? Never where the file system knows no locks."""
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_at(path: Path, fd: int) -> bool:
    """Is the open file still the one there? A gateway that ends takes it away."""
    try:
        return os.path.samestat(path.stat(), os.fstat(fd))
    except FileNotFoundError:
        return False


def running_pid(folder: Path) -> int | None:
    """Process id of the gateway that runs on this data folder. Raises ``OSError`` for a file that can't be read."""
    try:
        fd = os.open(folder / PID_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        if _locked(fd, fcntl.LOCK_SH):
            return None
        text = os.pread(fd, 32, 0).strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(fd)


def last_reload(folder: Path) -> Reloaded | None:
    """How the last reload went; ``None`` if there was none since the start."""
    try:
        return msgspec.json.decode((folder / RELOAD_FILE).read_bytes(), type=Reloaded)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
