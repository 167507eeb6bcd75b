"""What code of ours keeps in memory: other threads of the test's process, and libraries, are not counted."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from pathlib import Path

_HOUSE = Path(__file__).parents[2]


def kept(package: str, work: Callable[[], object]) -> int:
    """Bytes that lines of a package (a folder of the house, as ``gateway/wire``) took during the work and hold."""
    ours = tracemalloc.Filter(True, str(_HOUSE / package / "*"))
    gc.collect()
    tracemalloc.start()
    try:
        work()
        gc.collect()
        taken = tracemalloc.take_snapshot().filter_traces([ours])
    finally:
        tracemalloc.stop()
    return sum(trace.size for trace in taken.traces)
