"""``weighbridge export``: files, filters, and what is said on the terminal."""

from __future__ import annotations

import csv
import io
import json
import stat
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rig.ledger import record

from gateway.cli.exits import Exit
from pricing.cost import UNPRICED

from .conftest import Weighbridge, put_records


@pytest.fixture
def calls() -> None:
    put_records(record(1), record(2, who={"team": "b"}), record(3, cost=UNPRICED, usage=None))


@pytest.mark.usefixtures("calls")
def test_a_file_of_its_own_in_the_data_folder(weighbridge: Weighbridge) -> None:
    result = weighbridge("export")
    assert result.exit_code == 0, result.output
    [file] = Path("weighbridge-data/exports").iterdir()
    assert file.name.startswith("calls-2")
    assert file.suffix == ".csv"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with file.open(newline="") as lines:
        assert len(list(csv.DictReader(lines))) == 3
    assert f"{file}: {file.stat().st_size:,} bytes, 3 calls" in result.output


@pytest.mark.usefixtures("calls")
def test_the_name_chooses_the_kind(weighbridge: Weighbridge) -> None:
    for name in ("a.jsonl", "b.parquet", "c.csv", "d.txt"):
        assert weighbridge("export", "-o", name, "--team", "b").exit_code == 0
    assert [json.loads(line)["team"] for line in Path("a.jsonl").read_text().splitlines()] == ["b"]
    assert pq.read_table("b.parquet").num_rows == 1
    assert Path("c.csv").read_text() == Path("d.txt").read_text()
    assert weighbridge("export", "-o", "e.csv", "--format", "jsonl").exit_code == 0
    assert len(Path("e.csv").read_text().splitlines()) == 3


@pytest.mark.usefixtures("calls")
def test_into_a_pipe(weighbridge: Weighbridge) -> None:
    result = weighbridge("export", "-o", "-", "--focus", "--since", "2026-01-01")
    lines = list(csv.DictReader(io.StringIO(result.stdout)))
    assert {line["SubAccountId"] for line in lines} == {"search", "b"}
    assert "1 of them left out: their cost is not known" in result.stderr


@pytest.mark.usefixtures("calls")
def test_what_is_wrong_is_said(weighbridge: Weighbridge, monkeypatch: pytest.MonkeyPatch) -> None:
    for options, said in (
        (("--since", "whenever"), "'--since': 'whenever' is not"),
        (("--outcome", "lost"), "'lost' is not one of"),
    ):
        result = weighbridge("export", *options)
        assert (result.exit_code, said in result.stderr) == (Exit.USAGE, True)
    Path("file").touch()
    result = weighbridge("export", "-o", "file/x.csv")
    assert (result.exit_code, "can't be written" in result.stderr) == (Exit.PROBLEM, True)
    monkeypatch.setitem(sys.modules, "storage.export.parquet", None)
    result = weighbridge("export", "-o", "x.parquet")
    assert (result.exit_code, "pip install pyarrow" in result.stderr) == (Exit.USAGE, True)
    assert not Path("x.parquet").exists()


def test_without_records(weighbridge: Weighbridge) -> None:
    result = weighbridge("export")
    assert (result.exit_code, "no records in weighbridge-data" in result.stderr) == (Exit.UNREACHABLE, True)


def test_a_file_that_fails_half_way_is_not_there(
    weighbridge: Weighbridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEIGHBRIDGE_STORAGE__URL", "postgresql://me:hunter2@127.0.0.1:1/x")
    result = weighbridge("export", "-o", "x.csv")
    assert result.exit_code == Exit.UNREACHABLE
    assert "hunter2" not in result.output
    assert list(Path().iterdir()) == []
