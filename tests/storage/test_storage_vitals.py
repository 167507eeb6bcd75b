"""What workers say of themselves, added up."""

from __future__ import annotations

from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from storage.claim import new_claim
from storage.stats import LedgerStats
from storage.vitals import Spool, Vitals, added_up, read, write

COUNTS = [field.name for field in msgspec.structs.fields(LedgerStats) if field.type is int]


@given(st.lists(st.dictionaries(st.sampled_from(COUNTS), st.integers(0, 10**9)), max_size=4))
def test_only_the_living_are_added_up(figures: list[dict[str, int]]) -> None:
    spools = [
        Spool(f"s{index}", index % 2 == 0, Vitals(index, 1, LedgerStats(**one)))
        for index, one in enumerate(figures)
    ]
    total = added_up([*spools, Spool("new", True, None)])
    for name in COUNTS:
        assert getattr(total, name) == sum(one.get(name, 0) for one in figures[::2])


def test_they_are_read_back_while_the_process_lives(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == []
    claim = new_claim(tmp_path)
    said = Vitals(7, 8, LedgerStats(accepted=3, recorded=3, reasons=("why",)))
    write(claim.folder, said)
    assert read(tmp_path) == [Spool(claim.name, True, said)]
    (claim.folder / "vitals.json").write_bytes(b"{")
    assert read(tmp_path) == [Spool(claim.name, True, None)]
    claim.release(remove=False)
    assert read(tmp_path) == [Spool(claim.name, False, None)]
