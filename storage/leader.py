"""One leader among all workers and replicas: who does the jobs that must not be done twice at once."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Protocol

from storage.address import Address, Engine

FILE = "leader.lock"


class Leadership(Protocol):
    """A lock that the death of its holder gives back."""

    async def hold(self) -> bool:
        """Take the lock, or make sure that it is still ours; whether it is. Never raises."""

    async def release(self) -> None:
        """Give it back."""


class FileLeadership:
    """Among the processes of one machine: a locked file in the data folder."""

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / FILE
        self._fd = -1

    async def hold(self) -> bool:
        if self._fd >= 0:
            return True
        try:
            fd = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            return False
        self._fd = fd
        return True

    async def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def leadership(address: Address, data_dir: Path) -> Leadership:
    """The lock that fits the database: SQLite has one machine, PostgreSQL may have many."""
    if address.engine is Engine.SQLITE:
        return FileLeadership(data_dir)
    from storage.leader_postgres import PostgresLeadership

    return PostgresLeadership(address.dsn)
