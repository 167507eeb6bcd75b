"""The whole gateway, as an app meets it: settings in, a listening port out, records in a real SQLite file."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rig.migrated import with_tables

from gateway.app import Gateway, running
from gateway.settings import Settings, load


def settings_for(data_dir: Path, base_url: str, providers: tuple[str, ...], **sections: Any) -> Settings:
    """Settings on a free port, records in ``data_dir``, the named providers pointed at ``base_url``."""
    changes = {
        "server": {"port": 0},
        "storage": {"data_dir": data_dir, "batch_ms": 10},
        "providers": {name: {"base_url": base_url} for name in providers},
        **sections,
    }
    return load(None, changes)


@contextlib.asynccontextmanager
async def gateway(
    data_dir: Path,
    base_url: str,
    providers: tuple[str, ...] = ("openai", "anthropic", "gemini"),
    **sections: Any,
) -> AsyncIterator[Gateway]:
    """A running gateway; ``gateway.url``, ``gateway.port``, ``gateway.ledger.stats()``. A SQLite file has its tables."""
    with_tables(data_dir)
    settings = settings_for(data_dir, base_url, providers, **sections)
    # The tests go on in this process: what a gateway freezes would stay in it, whatever a test left behind included.
    with patch.object(gc, "freeze"):
        async with running(settings) as started:
            yield started
