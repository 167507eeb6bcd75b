"""docs/insights.md says what the code does: the marks of the health score, and how good forecasts are."""

from __future__ import annotations

import re
from pathlib import Path

from telemetry.insights import health
from telemetry.insights.anomaly import WEEKLY
from telemetry.insights.backtest import Alarms, Errors, try_anomalies, try_forecasts
from telemetry.insights.generated import SHAPES, daily
from telemetry.insights.recommend import Kind

TEXT = (Path(__file__).parents[2] / "docs/insights.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("| ")
]


def test_the_weights_of_the_health_score() -> None:
    told = {row[0].partition(":")[0]: int(row[1]) for row in ROWS if row[1].isdigit()}
    assert told == {part.value: weight for part, weight in health.WEIGHTS.items()}


def test_the_marks_of_the_health_score() -> None:
    told = {row[0].partition(":")[0]: (row[2], row[3]) for row in ROWS if row[1].isdigit()}

    def percent(ppm: int) -> str:
        return f"{ppm / 10_000:g} %"

    def times(ppm: int) -> str:
        return f"{ppm / 1_000_000:g} times"

    assert told["errors"] == (percent(health.ERRORS.full), percent(health.ERRORS.none))
    assert told["latency"] == (times(health.LATENCY.full), times(health.LATENCY.none))
    assert told["quality"] == (percent(health.QUALITY.full), percent(health.QUALITY.none))
    assert told["cost"] == tuple(
        f"{percent(one)}; {times(other)}"
        for one, other in zip(
            (health.WASTE.full, health.WASTE.none), (health.DEARER.full, health.DEARER.none), strict=True
        )
    )
    assert told["cache"] == (percent(health.CACHE.full), "none")


def test_every_kind_of_advice_is_told() -> None:
    assert {kind.value for kind in Kind} <= set(re.findall(r"`(\w+)`", TEXT))


def test_the_figures_of_the_backtest_are_those_it_prints() -> None:
    errors, alarms, plain = Errors(), Alarms(), Alarms()
    for shape in SHAPES:
        for seed in range(4):
            days = daily(shape, 180, seed)
            errors += try_forecasts(days, 0)
            found = try_anomalies(days[-90:], WEEKLY, 3_000_000, 0, seed)
            alarms += found
            plain += Alarms() if shape.wild or shape.heavy else found
    told = " ".join(TEXT.split())
    assert (
        f"days are {100 * errors.days / errors.spent:.0f} % off: {errors.days / errors.days_naive:.2f} of the error of the "
        f"first, {errors.days / errors.days_weekly:.2f} of the second; sums of 30 days are "
        f"{100 * errors.totals / errors.spent:.0f} % off ({errors.totals / errors.totals_naive:.2f}, "
        f"{errors.totals / errors.totals_weekly:.2f}), and {100 * errors.inside / errors.forecasts:.0f} % of them"
    ) in told
    assert f"{100 * alarms.alarms / alarms.values:.1f} % of the days stand out" in told
    assert (plain.alarms, "without the kinds that have wild days or heavy tails, none" in told) == (0, True)
