"""The key of the digests: one for all workers, whatever an earlier process left behind."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from gateway.capturing.keeper import KEY_FILE, key_in


def test_there_is_one_and_it_is_ours_alone(tmp_path: Path) -> None:
    key = key_in(tmp_path)
    assert len(key) == 32
    assert key_in(tmp_path) == key
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600


def test_what_a_killed_gateway_of_the_same_pid_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / f".{KEY_FILE}.{os.getpid()}").write_bytes(b"half")
    assert len(key_in(tmp_path)) == 32


def test_of_two_that_make_it_at_once_the_first_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = tempfile.mkstemp

    def outrun(**given: object) -> tuple[int, str]:
        monkeypatch.undo()
        key_in(tmp_path)
        return make(**given)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr(tempfile, "mkstemp", outrun)
    key = key_in(tmp_path)
    assert key == key_in(tmp_path) == (tmp_path / KEY_FILE).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
