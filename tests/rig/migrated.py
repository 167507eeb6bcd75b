"""A SQLite file with our tables, migrated once a process: a test that begins with one need not migrate again."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from storage.address import parse
from storage.migrate import migrate


@functools.cache
def migrated() -> bytes:
    """What such a file holds."""
    with tempfile.TemporaryDirectory() as folder:
        address = parse(None, Path(folder))
        migrate(address)
        return Path(address.dsn).read_bytes()


def with_tables(data_dir: Path) -> Path:
    """``data_dir``, made if need be; if it had no database it has one with our tables then."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = Path(parse(None, data_dir).dsn)
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(migrated())
    return data_dir
