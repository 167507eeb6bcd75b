"""Connections and the system's limit of open files."""

from __future__ import annotations

import resource

import pytest

from gateway import open_files


class Limits:
    """Stands for the process's limits."""

    def __init__(self, soft: int, hard: int) -> None:
        self.now = (soft, hard)

    def getrlimit(self, _: int) -> tuple[int, int]:
        return self.now

    def setrlimit(self, _: int, limits: tuple[int, int]) -> None:
        assert limits[0] <= limits[1] or limits[1] == resource.RLIM_INFINITY
        self.now = limits


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "fit"),
    [
        (1024, 4096, 4096, 2389),
        (1024, 1_048_576, 40_512, 20_000),
        (1024, resource.RLIM_INFINITY, 40_512, 20_000),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, resource.RLIM_INFINITY, 20_000),
        (100_000, 100_000, 100_000, 20_000),
        (64, 64, 64, 16),
    ],
)
def test_the_limit_is_raised_and_then_kept_to(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, raised: int, fit: int
) -> None:
    limits = Limits(soft, hard)
    monkeypatch.setattr(open_files.resource, "getrlimit", limits.getrlimit)
    monkeypatch.setattr(open_files.resource, "setrlimit", limits.setrlimit)
    open_files.raise_limit(20_000)
    assert limits.now == (raised, hard)
    assert open_files.connections_that_fit(20_000) == fit
