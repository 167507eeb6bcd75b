"""Whose spool is whose: each process holds a file lock on its own, and may take over those of the dead.

``spool/NAME.lock`` is locked (``flock``) for as long as its process lives; ``spool/NAME/`` holds the segments.
The kernel drops the lock with the process, however it dies.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path

LOCK_SUFFIX = ".lock"
DAMAGED = "damaged"
"""The folder beside the spools where unreadable stretches of segments are kept."""


class Claim:
    """A held lock and the folder it stands for."""

    def __init__(self, root: Path, name: str, fd: int) -> None:
        self.name = name
        self.folder = root / name
        self._lock_path = root / (name + LOCK_SUFFIX)
        self._fd = fd

    def release(self, *, remove: bool) -> None:
        """Give the lock back; with ``remove`` the folder goes first. A second call does nothing."""
        if self._fd < 0:
            return
        if remove:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._lock_path.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = -1


def new_claim(root: Path) -> Claim:
    """A fresh spool folder of our own under ``root``, locked before anyone can see it. Raises ``OSError``."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = f"{time.time_ns():016x}-{os.getpid()}-{os.urandom(3).hex()}"
    hidden = root / f".{name}"
    fd = os.open(hidden, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(hidden, root / (name + LOCK_SUFFIX))
        (root / name).mkdir(mode=0o700)
    except OSError:
        os.close(fd)
        hidden.unlink(missing_ok=True)
        raise
    return Claim(root, name, fd)


def adopt(root: Path) -> list[Claim]:
    """Every spool under ``root`` whose process is dead, locked for us, oldest first.

    A folder without a lock file (a restored backup) counts as dead. Trouble with one spool hides that one only.
    """
    try:
        listed = list(os.scandir(root))
    except OSError:
        return []
    names = {entry.name.removesuffix(LOCK_SUFFIX) for entry in listed if entry.name.endswith(LOCK_SUFFIX)}
    names |= {entry.name for entry in listed if entry.is_dir()} - {DAMAGED}
    found = (_try_adopt(root, name) for name in sorted(names) if not name.startswith("."))
    return [claim for claim in found if claim is not None]


def _try_adopt(root: Path, name: str) -> Claim | None:
    path = root / (name + LOCK_SUFFIX)
    try:
        fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_ino == path.stat().st_ino:
            return Claim(root, name, fd)
    except OSError:
        pass
    os.close(fd)
    return None
