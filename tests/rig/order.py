"""In which order several workers take the tests: a file is one worker's, and those that take longest come first."""

from __future__ import annotations

from pathlib import PurePosixPath

from xdist.scheduler import LoadFileScheduling

FAULTS = "tests/faults"
"""One after the other, beside everything else: most of the time they wait, and some look at memory and at clocks."""
LONGEST = (
    FAULTS,
    "tests/api/test_api_document.py",
    "tests/api/test_api_reach.py",
    "tests/analytics/test_analytics_reach.py",
    "tests/storage/test_rollups_verify.py",
    "tests/storage/test_storage_outbox.py",
    "tests/proxy/test_budgets.py",
    "tests/analytics/test_analytics_totals.py",
    "tests/analytics/test_analytics_users.py",
    "tests/storage/test_rollups_read.py",
    "tests/storage/test_storage_quality.py",
    "tests/storage/test_storage_privacy.py",
    "tests/storage/test_rollups_compaction.py",
    "tests/proxy/test_bombs.py",
)
"""What would keep one worker busy at the end while the others have nothing left to do."""
_PLACES = {name: place for place, name in enumerate(LONGEST)}


def unit_of(nodeid: str) -> str:
    """What one worker does as a whole: a file, and all that inject faults."""
    path = nodeid.partition("::")[0]
    return FAULTS if PurePosixPath(path).is_relative_to(FAULTS) else path


def place_of(nodeid: str) -> int:
    """Smaller is earlier; those that are not long keep their order."""
    return _PLACES.get(unit_of(nodeid), len(LONGEST))


class Units(LoadFileScheduling):
    """Hands out :func:`unit_of`."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)
