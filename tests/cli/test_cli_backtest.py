"""``weighbridge backtest``: the figures it prints are those of the trials, and forecasts are worth making."""

from __future__ import annotations

import json
import time

import pytest
from rig.ledger import record

from pricing.cost import Cost, CostSource, CostStatus
from telemetry.insights.generated import SHAPES, daily
from telemetry.record import CallRecord

from .conftest import Weighbridge, put_records

DAY_MS = 86_400_000
HEADINGS = "DAY OFF  /NAIVE  /WEEK  30 DAYS OFF  /NAIVE  /WEEK  BOUNDS  ALARMS  SPIKES"


def spend(days: int) -> list[CallRecord]:
    """One call a day, until yesterday."""
    today = int(time.time() * 1000) // DAY_MS * DAY_MS
    return [
        record(
            ms=today - ago * DAY_MS,
            cost=Cost(CostStatus.PRICED, CostSource.CATALOGUE, nano, nano, 0, 0, 0, 0),
        )
        for ago, nano in zip(range(days, 0, -1), daily(SHAPES[0], days, seed=1), strict=True)
    ]


def test_generated_spend_of_every_kind(weighbridge: Weighbridge) -> None:
    result = weighbridge("backtest", "--seeds", "1")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "Generated spend · 180 days, 1 of each kind"
    assert lines[2].split("  ", 1)[1].strip() == HEADINGS
    assert [line.split("  ")[0].strip() for line in lines[3:13]] == [*(shape.name for shape in SHAPES), "all"]
    assert "No records of your own in weighbridge-data were tried." in lines


def test_forecasts_beat_the_simple_ones(weighbridge: Weighbridge) -> None:
    result = weighbridge("backtest", "--seeds", "2", "--json")
    found = json.loads(result.output)
    assert found["own"] is None
    for trial in found["generated"]:
        errors = trial["errors"]
        assert errors["days"] < min(errors["days_naive"], errors["days_weekly"]), trial["name"]
        assert errors["totals"] < errors["totals_naive"], trial["name"]


def test_the_own_history_is_tried_too(weighbridge: Weighbridge) -> None:
    put_records(*spend(70))
    found = json.loads(weighbridge("backtest", "--seeds", "1", "--json").output)["own"]
    assert found["days"] == 70
    assert found["errors"]["forecasts"] == 3
    assert 0 < found["errors"]["days"] < found["errors"]["days_naive"]
    assert found["alarms"]["values"] == 70
    assert found["alarms"]["found"] == found["alarms"]["planted"] == 6
    result = weighbridge("backtest", "--seeds", "1")
    assert "Your spend · 70 whole days in weighbridge-data" in result.output
    assert result.output.count(HEADINGS) == 2


def test_a_short_history_says_what_it_takes(weighbridge: Weighbridge) -> None:
    put_records(*spend(40))
    result = weighbridge("backtest", "--seeds", "1")
    assert result.exit_code == 0
    assert "Too short to try forecasts of 30 days: that takes 58 days" in result.output
    assert result.output.count(HEADINGS) == 1
    short = json.loads(weighbridge("backtest", "--seeds", "1", "--horizon", "7", "--json").output)
    assert short["own"]["errors"]["forecasts"] == 2
    alone = json.loads(weighbridge("backtest", "--seeds", "1", "--generated", "--json").output)
    assert alone["own"] is None


def test_a_database_that_does_not_answer(weighbridge: Weighbridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIGHBRIDGE_STORAGE__URL", "postgresql://nobody@127.0.0.1:1/none")
    result = weighbridge("backtest", "--seeds", "1")
    assert result.exit_code == 3
    assert "the database cannot be read" in result.output
    assert "PostgreSQL at 127.0.0.1:1/none" in result.output
