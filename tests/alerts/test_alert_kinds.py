"""Every kind of rule, judged by facts that are made up: what fires, what does not, and what nobody can tell."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from alerts.facts import DOLLAR, MONTH, NOON, MadeUp, budget, calls, rule
from hypothesis import given
from hypothesis import strategies as st

from telemetry.alerts.facts import BudgetFact, HoursFact, QuantileFact, SpendFact, SpoolFact
from telemetry.alerts.kinds.budget import Step
from telemetry.alerts.kinds.overrun import Outlook
from telemetry.alerts.kinds.registry import KINDS
from telemetry.alerts.kinds.spend_spike import Leap, usual
from telemetry.alerts.rule import Rule
from telemetry.alerts.verdict import Decision, Reason, Severity, Subject, Verdict

LABELS = (("team", "search"),)


async def judged(one: Rule[Any], facts: MadeUp) -> list[tuple[Subject, Verdict]]:
    kind = KINDS[one.kind]
    return [
        (case.subject, kind.evaluate(one, case.fact, NOON)) for case in await kind.gather(one, facts, NOON)
    ]


def of_budget(spent: int, limit: int, threshold: int) -> Verdict:
    verdict = KINDS["budget"].evaluate(rule("budget"), Step(budget(spent, limit), threshold), NOON)
    assert isinstance(verdict, Verdict)
    return verdict


def test_forty_cents_of_fifteen_dollars_are_not_99_per_cent() -> None:
    assert of_budget(DOLLAR * 4 // 10, 15 * DOLLAR, 990_000).decision is Decision.QUIET


@given(limit=st.integers(1, 10**18), threshold=st.integers(1, 10_000_000), spent=st.integers(0, 2 * 10**19))
def test_a_threshold_is_reached_exactly_from_its_share_on(limit: int, threshold: int, spent: int) -> None:
    verdict = of_budget(spent, limit, threshold)
    assert (verdict.decision is Decision.FIRING) == (spent * 1_000_000 >= limit * threshold)
    assert (verdict.decision is Decision.FIRING) == (verdict.value >= verdict.limit)
    assert verdict.window.key == "2026-11"
    assert verdict.window.calendar


def test_reserved_money_is_not_spent() -> None:
    fact = budget(0, reserved_nano=20 * DOLLAR)
    assert KINDS["budget"].evaluate(rule("budget"), Step(fact, 500_000), NOON).decision is Decision.QUIET


def test_a_budget_of_nothing_never_fires() -> None:
    assert of_budget(5, 0, 500_000).decision is Decision.QUIET


@pytest.mark.parametrize(
    ("threshold", "severity"),
    [(500_000, Severity.INFO), (900_000, Severity.WARNING), (1_000_000, Severity.CRITICAL)],
)
def test_the_higher_the_threshold_the_worse(threshold: int, severity: Severity) -> None:
    assert of_budget(15 * DOLLAR, 15 * DOLLAR, threshold).severity is severity
    own = rule("budget", severity="info")
    assert KINDS["budget"].evaluate(own, Step(budget(1), threshold), NOON).severity is Severity.INFO


async def test_a_budget_rule_looks_at_every_threshold_of_the_budgets_it_is_about() -> None:
    facts = MadeUp()
    facts.budget_facts = [budget(8 * DOLLAR), budget(0, budget_id="b2", name="all", filters=())]
    found = await judged(rule("budget"), facts)
    assert [(subject.key, verdict.level, verdict.decision.value) for subject, verdict in found] == [
        ("b1", "50 %", "firing"),
        *(("b1", level, "quiet") for level in ("75 %", "90 %", "100 %")),
        *(("b2", level, "quiet") for level in ("50 %", "75 %", "90 %", "100 %")),
    ]
    assert found[0][1].summary == (
        "budget search-monthly (team search, 2026-11): $8.00 of $15.00 spent, 53.33 % (threshold 50 %)"
    )
    narrowed = await judged(rule("budget", scope={"team": "search"}, thresholds=[0.25]), facts)
    assert [(subject.key, verdict.level) for subject, verdict in narrowed] == [("b1", "25 %")]
    assert [subject.key for subject, _ in await judged(rule("budget", budget="all"), facts)] == ["b2"] * 4


async def test_a_rule_may_bring_its_own_budget_for_each_group() -> None:
    facts = MadeUp()
    facts.spend_facts = [
        SpendFact((("team", "search"),), 9 * DOLLAR),
        SpendFact((("team", "ads"),), 1),
    ]
    own = rule(
        "budget", limit_usd=10, period="month", time_zone="Europe/Zurich", group_by=["team"], thresholds=[0.9]
    )
    found = await judged(own, facts)
    assert [(dict(subject.labels)["team"], verdict.decision.value) for subject, verdict in found] == [
        ("search", "firing"),
        ("ads", "quiet"),
    ]
    assert facts.asked[0].since.isoformat() == "2026-10-31T23:00:00+00:00"


@pytest.mark.parametrize("kind", ["error_rate", "outage"])
@given(failed=st.integers(0, 500), fine=st.integers(0, 500))
def test_a_share_is_judged_exactly_and_only_with_enough_calls(kind: str, failed: int, fine: int) -> None:
    one = rule(kind, above=0.25, min_calls=10)
    fact = calls(failed, failed + fine, labels=(("provider", "openai"),))
    verdict = KINDS[kind].evaluate(one, fact, NOON)
    if failed + fine < 10:
        assert (verdict.decision, verdict.reason) == (Decision.UNKNOWN, Reason.TOO_FEW_CALLS)
    else:
        assert (verdict.decision is Decision.FIRING) == (failed * 4 >= failed + fine)


async def test_an_outage_is_always_of_a_provider() -> None:
    facts = MadeUp()
    facts.call_facts = [calls(9, 10, labels=(("provider", "openai"),))]
    ((subject, verdict),) = await judged(rule("outage"), facts)
    assert facts.asked[0].group_by == ("provider",)
    assert subject.labels == (("provider", "openai"),)
    assert verdict.decision is Decision.FIRING
    assert verdict.severity is Severity.CRITICAL
    assert verdict.summary == "openai: 9 of 10 calls failed in 5 min through the provider's doing"


def test_one_unpriced_call_is_enough() -> None:
    verdict = KINDS["unpriced"].evaluate(rule("unpriced"), calls(unpriced=1), NOON)
    assert verdict.decision is Decision.FIRING
    assert "1 call without a known cost in 1 h" in verdict.summary
    assert KINDS["unpriced"].evaluate(rule("unpriced"), calls(), NOON).decision is Decision.QUIET


@pytest.mark.parametrize(("kind", "verb"), [("latency", "took"), ("ttft", "began after")])
def test_a_percentile_is_judged_against_seconds(kind: str, verb: str) -> None:
    one = rule(kind, above=2.5, percentile=0.99, scope={"team": "search"})
    slow = KINDS[kind].evaluate(one, QuantileFact((), 100, 2_500_000), NOON)
    assert slow.decision is Decision.FIRING
    assert slow.summary == (
        f"99 % of calls of team search {verb} 2.50 s or less in 10 min: 100 calls (limit 2.50 s)"
    )
    assert KINDS[kind].evaluate(one, QuantileFact((), 100, 2_499_999), NOON).decision is Decision.QUIET
    assert KINDS[kind].evaluate(one, QuantileFact((), 19, 9_000_000), NOON).decision is Decision.UNKNOWN


async def test_an_old_record_in_the_spool() -> None:
    facts = MadeUp()
    facts.spool_fact = SpoolFact(1234, 60)
    ((_, verdict),) = await judged(rule("spool_age"), facts)
    assert verdict.decision is Decision.FIRING
    assert verdict.summary == "1,234 records wait for the database, the oldest for 1 min (limit 1 min)"


def spike(before: list[int], now: int, **keys: Any) -> Verdict:
    verdict = KINDS["spend_spike"].evaluate(rule("spend_spike", **keys), Leap((), now, tuple(before)), NOON)
    assert isinstance(verdict, Verdict)
    return verdict


def test_a_spike_is_many_times_the_usual() -> None:
    usual = [2 * DOLLAR] * 168
    assert spike(usual, 6 * DOLLAR).decision is Decision.FIRING
    assert spike(usual, 6 * DOLLAR - 1).decision is Decision.QUIET
    assert spike([DOLLAR // 100] * 168, DOLLAR // 10).decision is Decision.QUIET, "small money"
    assert spike([0] * 168, DOLLAR).decision is Decision.UNKNOWN, "nothing to compare with"
    assert spike([0] * 145 + [DOLLAR] * 23, 9 * DOLLAR).reason is Reason.TOO_LITTLE_HISTORY
    assert spike([0] * 144 + [DOLLAR] * 24, 9 * DOLLAR).decision is Decision.FIRING


def test_work_that_comes_every_day_or_every_week_is_no_spike() -> None:
    daily = [DOLLAR] * 168
    daily[-24] = 20 * DOLLAR
    assert spike(daily, 20 * DOLLAR).decision is Decision.QUIET
    weekly = [DOLLAR] * 168
    weekly[-168] = 20 * DOLLAR
    assert spike(weekly, 20 * DOLLAR).decision is Decision.QUIET
    other = [DOLLAR] * 168
    other[-30] = 20 * DOLLAR
    assert spike(other, 20 * DOLLAR).decision is Decision.FIRING
    other[-23] = 20 * DOLLAR
    assert spike(other, 20 * DOLLAR).decision is Decision.QUIET, "it began within that hour"


def test_windows_of_several_hours_are_added_up() -> None:
    assert usual([1] * 48, 6) == 6
    assert usual([0] * 24 + [5] * 6 + [0] * 18, 6) == 30, "a day ago"
    assert spike([DOLLAR] * 168, 18 * DOLLAR, window="6h").decision is Decision.FIRING
    assert spike([DOLLAR] * 168, 18 * DOLLAR - 1, window="6h").decision is Decision.QUIET


async def test_a_spike_is_looked_for_group_by_group() -> None:
    facts = MadeUp()
    facts.spend_facts = [SpendFact((("team", "a"),), 9 * DOLLAR), SpendFact((("team", "new"),), 9 * DOLLAR)]
    facts.hours_facts = [HoursFact((("team", "a"),), (DOLLAR,) * 168)]
    found = await judged(rule("spend_spike", group_by=["team"]), facts)
    assert [verdict.decision.value for _, verdict in found] == ["firing", "unknown"]
    hours, last = facts.asked
    assert (last.until - last.since, last.until) == (timedelta(hours=1), NOON)
    assert (hours.until, hours.until - hours.since) == (NOON - timedelta(hours=1), timedelta(days=7))


def outlook(fact: BudgetFact, days: list[int], **keys: Any) -> Verdict:
    verdict = KINDS["overrun"].evaluate(rule("overrun", **keys), Outlook(fact, tuple(days)), NOON)
    assert isinstance(verdict, Verdict)
    return verdict


def test_an_overrun_needs_history() -> None:
    fact = budget(14 * DOLLAR)
    assert outlook(fact, [0] * 22 + [DOLLAR] * 6).reason is Reason.TOO_LITTLE_HISTORY
    assert outlook(fact, [0] * 21 + [DOLLAR] * 7).decision is Decision.FIRING
    assert outlook(fact, [0] * 25 + [DOLLAR] * 3, min_days=3).decision is Decision.FIRING


def test_an_overrun_is_projected_over_the_days_that_are_left() -> None:
    # Noon of the 21st: 9.5 days are left; at a dollar a day 9.50 come on top.
    fact = budget(10 * DOLLAR, 20 * DOLLAR)
    assert outlook(fact, [DOLLAR] * 28).value == 19_500_000_000
    assert outlook(fact, [DOLLAR] * 28).decision is Decision.QUIET
    assert outlook(budget(10 * DOLLAR, 19_500_000_000), [DOLLAR] * 28).decision is Decision.FIRING
    assert outlook(fact, [DOLLAR] * 28, above=0.9).decision is Decision.FIRING


async def test_an_overrun_asks_for_whole_days_in_the_scope_of_the_budget() -> None:
    facts = MadeUp()
    facts.budget_facts = [budget(DOLLAR)]
    facts.hours_facts = [HoursFact((), (DOLLAR // 24,) * 28 * 24)]
    ((subject, verdict),) = await judged(rule("overrun"), facts)
    assert subject.key == "b1"
    (asked,) = facts.asked
    assert (asked.scope, asked.group_by) == ((("team", "search"),), ())
    assert asked.until.isoformat() == "2026-11-21T00:00:00+00:00"
    assert asked.until - asked.since == timedelta(days=28)
    assert verdict.value == DOLLAR + DOLLAR // 24 * 24 * 19 // 2


async def test_nothing_is_projected_for_a_window_that_is_over() -> None:
    facts = MadeUp()
    facts.budget_facts = [budget(DOLLAR, window_start=MONTH[0] - timedelta(days=31), window_end=NOON)]
    assert await judged(rule("overrun"), facts) == []


def test_kinds_are_pure() -> None:
    assert spike([DOLLAR] * 168, 9 * DOLLAR) == spike([DOLLAR] * 168, 9 * DOLLAR)
    assert all(kind.about and not kind.about.endswith(".") for kind in KINDS.values())
