"""The mark on a data folder: one gateway has it, whoever looks at it or takes it away just then."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from gateway.presence import PID_FILE, Presence, running_pid


def never(_: float) -> None:
    raise AssertionError("there is nothing to wait for")


def test_one_gateway_has_a_folder(tmp_path: Path) -> None:
    first = Presence.claim(tmp_path, never)
    assert first is not None
    assert running_pid(tmp_path) == os.getpid()
    assert Presence.claim(tmp_path, never) is None
    first.release()
    assert running_pid(tmp_path) is None
    again = Presence.claim(tmp_path, never)
    assert again is not None
    again.release()


@pytest.mark.parametrize("looks", [1, 5])
def test_a_command_that_looks_at_the_folder_just_then_is_waited_for(tmp_path: Path, looks: int) -> None:
    (tmp_path / PID_FILE).write_bytes(b"1\n")
    looking = os.open(tmp_path / PID_FILE, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    pauses = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == looks:
            os.close(looking)

    claimed = Presence.claim(tmp_path, pause)
    assert claimed is not None
    assert len(pauses) == looks
    assert running_pid(tmp_path) == os.getpid()
    claimed.release()


def test_a_command_that_stands_still_is_not_waited_for_without_end(tmp_path: Path) -> None:
    (tmp_path / PID_FILE).touch()
    looking = os.open(tmp_path / PID_FILE, os.O_RDONLY)
    fcntl.flock(looking, fcntl.LOCK_SH)
    pauses: list[float] = []
    assert Presence.claim(tmp_path, pauses.append) is None
    assert 0.5 < sum(pauses) < 5
    os.close(looking)


def test_a_mark_that_is_taken_away_between_opening_and_locking_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that ends takes it away: a lock on it would tell nobody anything."""
    ending = Presence.claim(tmp_path, never)
    assert ending is not None
    lock = fcntl.flock

    def ended_first(fd: int, how: int) -> None:
        monkeypatch.undo()
        ending.release()
        lock(fd, how)

    monkeypatch.setattr(fcntl, "flock", ended_first)
    claimed = Presence.claim(tmp_path, lambda _: None)
    assert claimed is not None
    assert running_pid(tmp_path) == os.getpid()
    claimed.release()
