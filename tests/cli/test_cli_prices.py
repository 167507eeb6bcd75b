"""Looking after the price book: a new snapshot, history priced again, models without a price."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import msgspec
import pytest

from gateway.ids import call_id
from pricing import catalogue
from pricing.cost import UNPRICED, Cost, CostSource, CostStatus
from pricing.rates import Catalogue, Rates
from pricing.usage import Part, Usage
from telemetry.outcome import Outcome
from telemetry.record import Answer, CallRecord, Route, Timing, UsageSource, What, Who

from .conftest import Weighbridge, put_records

NOON = 1_790_000_000_000_000_000
WRONG = Cost(CostStatus.PRICED, CostSource.CATALOGUE, 7, 7, 0, 0, 0, 0, "old book", "openai/gpt-4o")


def record(model: str, cost: Cost, *, at: int = 0, also: tuple[Part, ...] = ()) -> CallRecord:
    started = NOON + at * 1_000_000_000
    return CallRecord(
        call_id(started),
        Outcome.COMPLETED,
        Who(team="core"),
        What("openai", "openai_chat", "chat", "POST", "/v1/chat/completions", model, False, None, 300),
        Route("api.openai.com", 1),
        Timing(started, 850_000),
        Answer(200, model),
        Usage(1000, 100),
        UsageSource.PROVIDER,
        cost,
        also=also,
    )


def stored(columns: str) -> list[tuple[object, ...]]:
    (path,) = Path("weighbridge-data").glob("*.db")
    with sqlite3.connect(path) as db:
        return db.execute(f"SELECT {columns} FROM model_requests ORDER BY id").fetchall()


def snapshot(path: Path, change: Catalogue) -> Path:
    path.write_bytes(catalogue.encode(change))
    return path


def test_history_is_priced_again_and_the_recorded_cost_kept(weighbridge: Weighbridge) -> None:
    put_records(
        record("gpt-4o", WRONG), record("gpt-4o", UNPRICED, at=1), record("made-up-9", UNPRICED, at=2)
    )
    dry = weighbridge("prices", "reprice", "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "Nothing was written" in dry.output
    assert stored("repriced_status") == [(None,)] * 3
    done = weighbridge("prices", "reprice")
    assert done.exit_code == 0, done.output
    cost = 1000 * 2_500 + 100 * 10_000
    assert stored("cost_nano, repriced_nano, repriced_status") == [
        (7, cost, "priced"),
        (None, cost, "priced"),
        (None, None, "unpriced"),
    ]
    assert "2 -> 1" in done.output, "of three calls two had no price and one has none"
    ids = [str(id_) for (id_,) in stored("id")]
    first, _, last = [
        json.loads(weighbridge("explain", id_, "--json").output)["cost"]["recorded"] for id_ in ids
    ]
    assert first["total"]["nano_usd"] == 7
    assert first["repriced"]["total"]["nano_usd"] == cost
    assert (last["repriced"]["status"], last["repriced"]["total"]["usd"]) == ("unpriced", None)
    shown = weighbridge("explain", ids[0]).output
    assert f"Repriced $0.0035  priced, by {first['repriced']['snapshot']}: openai/gpt-4o" in shown


def test_a_cost_that_is_not_known_is_no_sum(weighbridge: Weighbridge) -> None:
    put_records(
        record("made-up-9", UNPRICED), record("gone-7", WRONG, at=1), record("gpt-4o", UNPRICED, at=2)
    )
    lines = weighbridge("prices", "reprice", "--dry-run").output.splitlines()
    told = {line.split()[1]: line.split()[4:] for line in lines if line.startswith("openai")}
    assert told == {
        "made-up-9": ["1", "->", "1", "–", "–", "–"],
        "gone-7": ["0", "->", "1", "$0.000000007", "–", "–"],
        "gpt-4o": ["1", "->", "0", "–", "$0.003500", "+$0.003500"],
    }


def test_what_was_priced_later_is_told_where_sums_say_that_something_is_missing(
    weighbridge: Weighbridge,
) -> None:
    put_records(record("gpt-4o", UNPRICED), record("gpt-4o", UNPRICED, at=1), record("gpt-4o", WRONG, at=2))
    assert "Priced only later" not in weighbridge("prices", "unpriced").output
    assert weighbridge("prices", "reprice").exit_code == 0
    told = " ".join(weighbridge("prices", "unpriced").output.split())
    assert told.startswith("Every call that should have a cost has one.")
    assert "Priced only later: 2 calls, $0.007000 together. 'weighbridge costs' shows it as LATER;" in told


def test_only_the_calls_that_were_meant(weighbridge: Weighbridge) -> None:
    put_records(record("gpt-4o", WRONG), record("gpt-4o-mini", WRONG, at=1))
    assert weighbridge("prices", "reprice", "--model", "gpt-4o-mini").exit_code == 0
    assert [status for (status,) in stored("repriced_status")] == [None, "priced"]
    nothing = weighbridge("prices", "reprice", "--provider", "anthropic")
    assert nothing.exit_code == 1
    assert "no such calls" in nothing.output


def test_further_usage_of_a_call_is_priced_by_its_own_model(weighbridge: Weighbridge) -> None:
    put_records(record("gpt-4o", WRONG, also=(Part("gpt-4o-mini", Usage(1000, 0)),)))
    assert weighbridge("prices", "reprice").exit_code == 0
    assert stored("repriced_nano") == [(1000 * 2_500 + 100 * 10_000 + 1000 * 150,)]


def test_models_without_a_price_are_listed_with_what_may_have_been_meant(weighbridge: Weighbridge) -> None:
    put_records(record("gpt-4o", WRONG), *[record("gpt-4o-minni", UNPRICED, at=n) for n in (1, 2)])
    found = weighbridge("prices", "unpriced")
    assert found.exit_code == 0, found.output
    line = next(line for line in found.output.splitlines() if "gpt-4o-minni" in line)
    assert "2,000" in line
    assert "openai/gpt-4o-mini" in line
    assert "gpt-4o " not in found.output.replace("gpt-4o-mini", "")


def test_a_model_that_has_a_price_is_not_suggested_in_its_own_place(weighbridge: Weighbridge) -> None:
    put_records(record("gpt-4o", UNPRICED))
    found = weighbridge("prices", "unpriced")
    assert "gpt-4o" in found.output
    assert "openai/gpt-4o" not in found.output


def test_a_sound_snapshot_is_installed_and_used(weighbridge: Weighbridge, tmp_path: Path) -> None:
    shipped = catalogue.load()
    new = snapshot(tmp_path / "new.json", msgspec.structs.replace(shipped, snapshot="newer-1"))
    before = weighbridge("prices", "check")
    assert "built in" in before.output
    assert weighbridge("prices", "refresh", "--from", str(new), "--dry-run").exit_code == 0
    assert not Path("weighbridge-data/prices.json").exists()
    done = weighbridge("prices", "refresh", "--from", str(new))
    assert done.exit_code == 0, done.output
    after = weighbridge("prices", "check")
    assert "newer-1" in after.output
    assert "installed" in after.output
    assert "newer-1" in weighbridge("prices", "show", "gpt-4o").output


@pytest.mark.parametrize("wrong", ["garbage", "few", "moved"])
def test_a_snapshot_that_looks_wrong_is_not_installed_unless_forced(
    weighbridge: Weighbridge, tmp_path: Path, wrong: str
) -> None:
    shipped = catalogue.load()
    path = tmp_path / "new.json"
    if wrong == "garbage":
        path.write_text("{}")
    elif wrong == "few":
        snapshot(path, msgspec.structs.replace(shipped, providers=shipped.providers[:2]))
    else:
        first, *others = shipped.providers
        entry = next(one for one in first.entries if one.periods and one.periods[0].rates.input)
        rates = msgspec.structs.replace(
            entry.periods[0].rates, input=(entry.periods[0].rates.input or 0) * 11
        )
        periods = (msgspec.structs.replace(entry.periods[0], rates=rates), *entry.periods[1:])
        entries = tuple(
            msgspec.structs.replace(one, periods=periods) if one is entry else one for one in first.entries
        )
        first = msgspec.structs.replace(first, entries=entries)
        snapshot(path, msgspec.structs.replace(shipped, providers=(first, *others)))
        assert isinstance(rates, Rates)
    refused = weighbridge("prices", "refresh", "--from", str(path))
    assert refused.exit_code == 1
    assert not Path("weighbridge-data/prices.json").exists()
    forced = weighbridge("prices", "refresh", "--from", str(path), "--force")
    assert forced.exit_code == (1 if wrong == "garbage" else 0), forced.output


def test_a_call_is_explained_without_making_it(weighbridge: Weighbridge) -> None:
    found = weighbridge(
        "prices",
        "explain",
        "gpt-4o",
        "--provider",
        "openai",
        "--input",
        "1000",
        "--cache-read",
        "400",
        "--output",
        "200",
    )
    assert found.exit_code == 0, found.output
    assert "$0.004" in found.output
    assert "cache_read" in found.output
    several = weighbridge("prices", "explain", "gpt-4o", "--input", "1")
    assert several.exit_code == 1
    assert "--provider" in several.output
    assert weighbridge("prices", "explain", "nobody-knows-this").exit_code == 1


def test_own_prices_that_cannot_be_meant_are_told_of(weighbridge: Weighbridge) -> None:
    table = '[[pricing.price]]\nprovider = "openai"\nmodels = ["gpt-4o"]\nrates = { input = 0.0000025 }\n'
    Path("weighbridge.toml").write_text(table)
    found = weighbridge("prices", "check")
    assert found.exit_code == 0
    assert "your own prices: 1 in the settings" in found.output
    assert "warning  pricing.price[0].rates: more than 10 times off: input 0.0000025" in found.output
