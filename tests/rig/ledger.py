"""Records to store, a database that can be told to fail, and a ledger that is quick to stop."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from pricing.cost import Cost, CostSource, CostStatus
from pricing.usage import Usage
from storage.ledger import Ledger, LedgerConfig
from storage.targets.contract import BuriedLetter, DeadLetter, Outage, RowRefused
from storage.writer import Pace
from telemetry.outcome import Outcome
from telemetry.record import Answer, CallRecord, Route, Timing, UsageSource, What, Who, encode, trace_of

STARTED_MS = 1_795_000_000_000
"""2026-11-18, in milliseconds."""

_numbers = itertools.count(1)


def call_id(number: int, ms: int = STARTED_MS) -> str:
    """A UUIDv7 of a given millisecond that sorts by ``number``."""
    text = f"{ms:012x}"
    return f"{text[:8]}-{text[8:]}-7{number >> 48 & 0xFFF:03x}-8{number >> 36 & 0xFFF:03x}-{number & 0xFFFFFFFFF:012x}"


def record(number: int | None = None, *, ms: int = STARTED_MS, **parts: Any) -> CallRecord:
    """A typical finished call; a dict changes fields of a part, anything else replaces it."""
    number = next(_numbers) if number is None else number
    typical = CallRecord(
        call_id(number, ms),
        Outcome.COMPLETED,
        Who(tenant="acme", team="search", user="ada", tags=(("run", "17"),), sources=(("team", "key"),)),
        What("openai", "openai_chat", "chat", "POST", "/v1/chat/completions", "gpt-4o-mini", True, 512, 1024),
        Route("api.openai.com", 1),
        Timing(ms * 1_000_000, 1_500_000, 1_400_000, 300_000, 310_000, 180, 60_000),
        Answer(200, "gpt-4o-mini-2024-07-18", f"chatcmpl-{number}", ("stop",), "default", 983),
        Usage(1000 + number, 200, 300, 50, 10, reasoning=40),
        UsageSource.PROVIDER,
        Cost(
            CostStatus.PRICED,
            CostSource.CATALOGUE,
            250_000,
            100_000,
            120_000,
            20_000,
            10_000,
            0,
            "2026-11-20",
        ),
        trace_of(0x0AF7651916CD43DD8448EB211C80319C, 0x1111, 0x2222, 0xB7AD6B7169203331),
        b'{"prompt_tokens":1000}',
    )
    changes = {
        name: msgspec.structs.replace(getattr(typical, name), **value) if isinstance(value, dict) else value
        for name, value in parts.items()
    }
    return msgspec.structs.replace(typical, **changes)


def opening(closed: CallRecord) -> CallRecord:
    """What is put down when the call of this final record begins."""
    return msgspec.structs.replace(
        closed, outcome=Outcome.INTERRUPTED, answer=Answer(), usage=None, usage_source=UsageSource.NONE
    )


class FlakyTarget:
    """A database in memory. ``down`` makes everything an outage; ids in ``poison`` are refused."""

    def __init__(self) -> None:
        self.rows: dict[str, CallRecord] = {}
        self.letters_by_id: dict[str, DeadLetter] = {}
        self.down = False
        self.poison: set[str] = set()
        self.lose_answer = False
        """The next write succeeds, but its answer never arrives."""
        self.slow_s = 0.0
        self.writes: list[int] = []
        self.connects = 0

    def connect(self) -> None:
        self.connects += 1
        self._check()

    def _check(self) -> None:
        if self.down:
            raise Outage("told to be down")

    def write(self, records: Sequence[CallRecord]) -> int:
        self._check()
        if self.slow_s:
            time.sleep(self.slow_s)
        if any(record.id in self.poison for record in records):
            raise RowRefused("told to refuse")
        new = 0
        for record in records:
            new += record.id not in self.rows
            self.rows.setdefault(record.id, record)
        self.writes.append(len(records))
        if self.lose_answer:
            self.lose_answer = False
            raise Outage("the answer was lost")
        return new

    def bury(self, letters: Sequence[DeadLetter]) -> None:
        self._check()
        for letter in letters:
            self.letters_by_id.setdefault(letter.record.id, letter)

    def letters(self, after: str, limit: int) -> list[BuriedLetter]:
        found = sorted(key for key in self.letters_by_id if key > after)[:limit]
        return [
            BuriedLetter(key, self.letters_by_id[key].reason, encode(self.letters_by_id[key].record))
            for key in found
        ]

    def unbury(self, ids: Sequence[str]) -> None:
        for key in ids:
            del self.letters_by_id[key]

    def close(self) -> None:
        pass


QUICK = Pace(
    batch_interval_s=0.01,
    adopt_interval_s=0.05,
    survey_interval_s=0.02,
    retry_first_s=0.01,
    retry_longest_s=0.05,
)


def config(data_dir: Path, **changes: Any) -> LedgerConfig:
    """A ledger that retries fast and keeps small files."""
    settings: dict[str, Any] = {
        "data_dir": data_dir,
        "pace": QUICK,
        "segment_bytes": 64 * 1024,
        "reserve_bytes": 64 * 1024,
        "start_wait_s": 5.0,
    }
    return LedgerConfig(**(settings | changes))


async def started(data_dir: Path, target: FlakyTarget | None = None, **changes: Any) -> Ledger:
    """A running ledger on ``target``, or on the database of its config."""
    ledger = Ledger(config(data_dir, **changes), target=target)
    await ledger.start()
    return ledger
