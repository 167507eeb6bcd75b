"""What docs/operation.md names exists, and its figures are those of the code."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from gateway.app import FLUSH_SECONDS, LAST_REQUEST_SECONDS
from gateway.parting import STUCK_SECONDS
from gateway.presence import PID_FILE
from gateway.server import MALFORMED_LOG_SECONDS, SLOWEST_BODY
from gateway.settings import Settings
from gateway.settings.changes import NEW_START, NEW_WORKERS
from gateway.supervisor import BACKOFF_SECONDS
from gateway.upstream import HEAD_BYTES
from gateway.wire.inflate import RATIO, TOTAL

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "operation.md").read_text(encoding="utf-8")


def test_every_setting_exists() -> None:
    named = re.findall(r"`(\w+)\.(\w+)`", TEXT)
    assert len(named) > 12
    for section, key in named:
        assert key in type(getattr(Settings(), section)).model_fields, f"{section}.{key}"


def test_what_a_reload_takes_over() -> None:
    workers, start = re.findall(r"^\| (`.*?) \| named", TEXT, re.MULTILINE)
    assert tuple(re.findall(r"`([\w.]+)`", start)) == NEW_START
    told = workers.replace("`[storage]` but for `storage.data_dir`", "`storage`")
    assert set(re.findall(r"`([\w.]+)`", told)) == set(NEW_WORKERS)
    assert f"closed {LAST_REQUEST_SECONDS:g} s after" in TEXT


def test_figures() -> None:
    assert f"after {BACKOFF_SECONDS[0]:g} s at first and up to {BACKOFF_SECONDS[-1]:g} s" in TEXT
    assert f"`DATA_DIR/{PID_FILE}`" in TEXT
    assert f"flushed ({FLUSH_SECONDS:g} s at most)" in TEXT
    assert f"{SLOWEST_BODY // 1024} KiB/s" in TEXT
    assert f"| {HEAD_BYTES // 1024} KiB |" in TEXT
    assert f"{RATIO} bytes a byte, {TOTAL // 1_048_576} MiB" in TEXT
    assert f"then {STUCK_SECONDS:g} s |" in TEXT
    assert MALFORMED_LOG_SECONDS == 10


def test_versions_of_python_are_told_alike() -> None:
    facts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = re.findall(r"Python :: (3\.\d+)", " ".join(facts["project"]["classifiers"]))
    assert facts["project"]["requires-python"] == f">={listed[0]}"
    assert facts["tool"]["mypy"]["python_version"] == listed[0]
    assert facts["tool"]["ruff"]["target-version"] == f"py{listed[0].replace('.', '')}"
    run = TEXT.partition("was run on ")[2].partition("on Linux")[0]
    assert re.findall(r"\b(3\.\d+)\.\d+", run) == listed
    tried = re.search(r"^PYTHONS = \$\(foreach p,([^,]+),", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert tried is not None
    assert tried[1].split() == [f"python{version}" for version in listed]
