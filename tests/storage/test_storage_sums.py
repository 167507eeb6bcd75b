"""Money and tokens add up to the same in Python, in SQLite and in PostgreSQL, to the last nano-dollar."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections import defaultdict
from pathlib import Path

import asyncpg
from rig.ledger import record, started

from pricing.book import PriceBook, PriceQuery
from pricing.usage import Usage
from telemetry.record import CallRecord

MODELS = [
    ("openai", "gpt-4o"),
    ("openai", "o3"),
    ("anthropic", "claude-sonnet-4-5"),
    ("google", "gemini-2.5-pro"),
    ("x", "y"),
]
COLUMNS = (
    "cost_nano", "cost_input_nano", "cost_output_nano", "cost_cache_read_nano", "cost_cache_write_nano", "cost_other_nano",
    "input_tokens", "output_tokens",
)  # fmt: skip
QUERY = (
    f"SELECT provider, response_model, cost_status, count(*), {', '.join(f'sum({name})' for name in COLUMNS)}"
    " FROM model_requests GROUP BY provider, response_model, cost_status"
)
Sums = dict[tuple[str, str, str], list[int]]


def made(book: PriceBook, number: int, chance: random.Random) -> CallRecord:
    provider, model = chance.choice(MODELS)
    read, made_ = (
        chance.choice([chance.randint(0, 5_000), chance.randint(0, 10**9)]),
        chance.randint(0, 9_999),
    )
    cached = chance.choice([None, 0, chance.randint(0, read)])
    usage = Usage(read, made_, cached, reasoning=chance.choice([None, chance.randint(0, made_)]))
    base = record(number)
    cost = book.price(
        PriceQuery(provider, model, None, usage, base.timing.started_ns, estimated=number % 7 == 0)
    )
    return record(number, usage=usage, cost=cost, what={"provider": provider}, answer={"model": model})


def in_python(records: list[CallRecord]) -> Sums:
    sums: Sums = defaultdict(lambda: [0] * (1 + len(COLUMNS)))
    for one in records:
        cost, usage = one.cost, one.usage
        assert usage is not None
        assert one.answer.model is not None
        values = (
            cost.total,
            cost.input,
            cost.output,
            cost.cache_read,
            cost.cache_write,
            cost.other,
            usage.input,
            usage.output,
        )
        line = sums[one.what.provider, one.answer.model, cost.status.value]
        line[0] += 1
        for index, value in enumerate(values, 1):
            line[index] += value or 0
    return dict(sums)


async def test_every_sum_is_the_same_everywhere(sqlite: str, postgres: str, tmp_path: Path) -> None:
    book, chance = PriceBook.load(), random.Random(5)
    records = [made(book, number, chance) for number in range(600)]
    for url, folder in ((sqlite, tmp_path / "a"), (postgres, tmp_path / "b")):
        ledger = await started(folder, None, url=url)
        for one in records:
            ledger.closed(one)
        assert await ledger.drained(20)
        await ledger.stop(5)
    with contextlib.closing(sqlite3.connect(sqlite.removeprefix("sqlite:///"))) as db:
        ours = {tuple(row[:3]): [int(value or 0) for value in row[3:]] for row in db.execute(QUERY)}
    connection = await asyncpg.connect(postgres)
    theirs = {
        tuple(row)[:3]: [int(value or 0) for value in tuple(row)[3:]] for row in await connection.fetch(QUERY)
    }
    await connection.close()
    truth = in_python(records)
    assert ours == truth
    assert theirs == truth
    for (_, _, status), line in truth.items():
        assert sum(line[2:7]) == line[1], "components add up to the total"
        assert (line[1] > 0) == (status != "unpriced")
