"""Rules as people write them: read in full, or refused with the key named."""

from __future__ import annotations

from typing import Any

import pytest
from alerts.facts import DOLLAR, rule

from telemetry.alerts.given import Unfit
from telemetry.alerts.kinds.registry import KINDS, rule_of
from telemetry.alerts.period import Period
from telemetry.alerts.verdict import Severity

NEEDED: dict[str, dict[str, Any]] = {"latency": {"above": 5}, "ttft": {"above": 1.5}}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_defaults(kind: str) -> None:
    one = rule(kind, **NEEDED.get(kind, {}))
    assert (one.kind, one.channels, one.severity, one.renotify_s) == (kind, (), None, KINDS[kind].renotify_s)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_refuses_keys_it_does_not_know(kind: str) -> None:
    with pytest.raises(Unfit, match="abov3: is not a known key here"):
        rule(kind, **NEEDED.get(kind, {}), abov3=1)


def test_everything_that_can_be_said() -> None:
    one = rule(
        "budget",
        severity="critical",
        channels=["ops", "mail"],
        scope={"team": "search", "environment": "production"},
        group_by=["model"],
        renotify="1d",
        limit_usd=12.5,
        period="week",
        time_zone="Europe/Zurich",
        thresholds=[0.5, 1, 1.25],
    )
    assert one.channels == ("ops", "mail")
    assert one.scope == (("team", "search"), ("environment", "production"))
    assert (one.group_by, one.renotify_s, one.severity) == (("model",), 86_400, Severity.CRITICAL)
    assert one.params.limit_nano == 12_500_000_000
    assert one.params.period is Period.WEEK
    assert one.params.zone.key == "Europe/Zurich"
    assert one.params.thresholds == (500_000, 1_000_000, 1_250_000)


def test_numbers_are_taken_as_they_are_written() -> None:
    assert rule("error_rate", above=0.07).params.above == 70_000
    assert rule("latency", above=0.3, percentile=0.999).params.percentile == 999_000
    assert rule("spend_spike", min_usd=0.1).params.min_nano == DOLLAR // 10


@pytest.mark.parametrize(
    ("table", "key", "what"),
    [
        ({"kind": "budget"}, "name", "is missing"),
        ({"name": "Über", "kind": "budget"}, "name", "'Über' can't be used"),
        ({"name": "x"}, "kind", "is missing"),
        ({"name": "x", "kind": "budgets"}, "kind", "'budgets' is not a kind of rule"),
        ({"name": "x", "kind": "budget", "thresholds": [50, 90]}, "thresholds[0]", "50 is not usable"),
        (
            {"name": "x", "kind": "budget", "thresholds": [0.9, 0.5]},
            "thresholds",
            "is not in ascending order",
        ),
        ({"name": "x", "kind": "budget", "thresholds": [float("nan")]}, "thresholds[0]", "nan is not usable"),
        (
            {"name": "x", "kind": "budget", "limit_usd": 5, "time_zone": "Europe/Zürich"},
            "time_zone",
            "'Europe/Zürich' is not a time zone this machine knows",
        ),
        ({"name": "x", "kind": "budget", "limit_usd": 5, "time_zone": "../x"}, "time_zone", "'../x' is not"),
        ({"name": "x", "kind": "budget", "time_zone": "UTC"}, "time_zone", "has no meaning here"),
        ({"name": "x", "kind": "budget", "limit_usd": 5, "budget": "b"}, "limit_usd", "stands beside budget"),
        ({"name": "x", "kind": "budget", "limit_usd": -1}, "limit_usd", "-1 is not usable"),
        ({"name": "x", "kind": "budget", "limit_usd": True}, "limit_usd", "True is not usable"),
        ({"name": "x", "kind": "overrun", "above": 11}, "above", "11 is not usable"),
        ({"name": "x", "kind": "overrun", "method": "seasonal", "min_days": 7}, "min_days", "is too few"),
        ({"name": "x", "kind": "error_rate", "above": 5}, "above", "5 is not usable"),
        ({"name": "x", "kind": "error_rate", "above": "1e999999999999999999"}, "above", "1e999"),
        ({"name": "x", "kind": "error_rate", "window": "2h"}, "window", "'2h' is not usable"),
        ({"name": "x", "kind": "error_rate", "window": "soon"}, "window", "'soon' is not usable"),
        ({"name": "x", "kind": "error_rate", "scope": {"tem": "a"}}, "scope", "'tem' is not a dimension"),
        ({"name": "x", "kind": "error_rate", "group_by": ["team", "team"]}, "group_by", "is not a list of"),
        (
            {"name": "x", "kind": "error_rate", "group_by": ["team", "model", "app", "user"]},
            "group_by",
            "has too many dimensions",
        ),
        ({"name": "x", "kind": "error_rate", "severity": "bad"}, "severity", "'bad' is not a known choice"),
        ({"name": "x", "kind": "error_rate", "renotify": 5}, "renotify", "is too often"),
        ({"name": "x", "kind": "error_rate", "channels": 5}, "channels", "is not a list of names"),
        ({"name": "x", "kind": "latency"}, "above", "is missing"),
        ({"name": "x", "kind": "spend_spike", "window": "5h"}, "history", "does not fit the window"),
        ({"name": "x", "kind": "spend_spike", "window": "90m"}, "window", "is not a number of hours"),
        ({"name": "x", "kind": "spool_age", "scope": {"team": "a"}}, "scope", "has no meaning here"),
    ],
)
def test_what_is_wrong_is_named(table: dict[str, Any], key: str, what: str) -> None:
    with pytest.raises(Unfit) as caught:
        rule_of(table)
    assert caught.value.key == key
    assert caught.value.what.startswith(what)
    assert caught.value.how


def test_a_wrong_name_of_a_key_is_guessed() -> None:
    with pytest.raises(Unfit, match="Did you mean thresholds"):
        rule("budget", treshold=[0.5])
