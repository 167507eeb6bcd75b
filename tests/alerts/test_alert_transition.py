"""What follows from verdicts: once per slot, told again when due, over when over. No clock, no database."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
from alerts.facts import MONTH, NOON, rule
from hypothesis import given
from hypothesis import strategies as st

from telemetry.alerts.period import sliding_window
from telemetry.alerts.silence import Silence, silenced_by
from telemetry.alerts.transition import (
    GRACE,
    STALE,
    TOUCH,
    Action,
    Fire,
    Open,
    Resolve,
    Slot,
    Tell,
    Touch,
    plan,
)
from telemetry.alerts.verdict import Decision, Reason, Severity, Subject, Unit, Verdict, Window

SUBJECT = Subject("team=search", (("team", "search"),))
MONTHLY = Window("2026-11", *MONTH, calendar=True)
ERRORS = rule("error_rate", renotify="4h")
BUDGET = rule("budget")


def verdict(decision: Decision, window: Window | None = None, now: datetime = NOON) -> Verdict:
    window = window or sliding_window(600, now)
    return Verdict(
        decision, Reason.REACHED, 7, 5, Unit.PPM, window, "warning", Severity.WARNING, "seven of five"
    )


def opened(window: Window, fired: datetime = NOON, **changed: object) -> Open:
    given: dict[str, object] = {
        "id": "a1",
        "rule": "r",
        "subject": SUBJECT.key,
        "level": "warning",
        "kind": "error_rate",
        "window": window,
        "labels": SUBJECT.labels,
        "severity": Severity.WARNING,
        "summary": "seven of five",
        "value": 7,
        "limit": 5,
        "unit": Unit.PPM,
        "fired_at": fired,
        "notified_at": fired,
        "notified": 1,
        "seen_at": fired,
    }
    return Open(**(given | changed))  # type: ignore[arg-type]


def slots(*alerts: Open) -> dict[Slot, Open]:
    return {alert.slot: alert for alert in alerts}


SLIDING = sliding_window(600, NOON)
FIRING, QUIET, UNKNOWN = (verdict(decision) for decision in Decision)


def test_what_begins_to_fire_is_told_at_once() -> None:
    assert plan(ERRORS, [(SUBJECT, FIRING)], {}, [], NOON) == [Fire(SUBJECT, FIRING, None)]
    assert plan(ERRORS, [(SUBJECT, QUIET), (SUBJECT, UNKNOWN)], {}, [], NOON) == []


def test_what_goes_on_firing_is_told_again_only_when_due() -> None:
    alert = opened(SLIDING)
    for late, expected in ((TOUCH / 2, []), (TOUCH, [Touch]), (timedelta(hours=4), [Tell])):
        done = plan(ERRORS, [(SUBJECT, FIRING)], slots(alert), [], NOON + late)
        assert [type(action) for action in done] == expected
    never = msgspec.structs.replace(ERRORS, renotify_s=0)
    assert [type(one) for one in plan(never, [(SUBJECT, FIRING)], slots(alert), [], NOON + 9 * STALE)] == [
        Touch
    ]


def test_a_sliding_alert_outlives_its_window_and_ends_when_it_recovers() -> None:
    alert = opened(SLIDING)
    later = NOON + timedelta(hours=2)
    done = plan(ERRORS, [(SUBJECT, verdict(Decision.FIRING, now=later))], slots(alert), [], later)
    assert [type(action) for action in done] == [Touch]
    quiet = verdict(Decision.QUIET, now=later)
    assert plan(ERRORS, [(SUBJECT, quiet)], slots(alert), [], later) == [
        Resolve(alert, Reason.RECOVERED, quiet)
    ]


def test_without_evidence_it_fires_on_for_an_hour() -> None:
    alert = opened(SLIDING)
    for judged in ([(SUBJECT, UNKNOWN)], []):
        assert plan(ERRORS, judged, slots(alert), [], NOON + STALE - timedelta(seconds=1)) == []
        assert plan(ERRORS, judged, slots(alert), [], NOON + STALE) == [Resolve(alert, Reason.NO_DATA)]


def test_a_threshold_stays_reached_until_its_window_ends() -> None:
    alert = opened(MONTHLY)
    raised = verdict(Decision.QUIET, MONTHLY)
    assert plan(BUDGET, [(SUBJECT, raised)], slots(alert), [], NOON) == []
    assert plan(BUDGET, [(SUBJECT, raised)], slots(alert), [], MONTH[1] + GRACE) == [
        Resolve(alert, Reason.WINDOW_ENDED)
    ]
    assert plan(BUDGET, [], slots(alert), [], MONTH[1]) == [], "late records may still come"


def test_the_next_window_is_another_alert() -> None:
    alert = opened(MONTHLY)
    december = Window("2026-12", MONTH[1], MONTH[1] + timedelta(days=31), calendar=True)
    late = MONTH[1] + timedelta(minutes=1)
    both = [
        (SUBJECT, verdict(Decision.FIRING, MONTHLY)),
        (SUBJECT, verdict(Decision.FIRING, december)),
    ]
    done = plan(BUDGET, both, slots(alert), [], late)
    assert [type(action) for action in done] == [Touch, Fire]
    over = plan(BUDGET, both[:1], slots(alert), [], MONTH[1] + GRACE)
    assert [type(action) for action in over] == [Resolve]
    assert plan(BUDGET, both[:1], {}, [], MONTH[1] + GRACE) == [], "too late to begin"


def silence(**changed: object) -> Silence:
    given: dict[str, object] = {
        "id": "s1",
        "matchers": (("team", "sea*"),),
        "starts": NOON,
        "until": NOON + timedelta(hours=1),
        "who": "ada",
        "why": "migration",
    }
    return Silence(**(given | changed))  # type: ignore[arg-type]


def test_a_silence_keeps_back_and_what_still_fires_after_it_is_told() -> None:
    (fired,) = plan(ERRORS, [(SUBJECT, FIRING)], {}, [silence()], NOON)
    assert fired == Fire(SUBJECT, FIRING, "s1")
    kept_back = opened(SLIDING, notified_at=None, notified=0, seen_at=NOON + timedelta(minutes=59))
    soon = NOON + timedelta(minutes=59)
    assert plan(ERRORS, [(SUBJECT, FIRING)], slots(kept_back), [silence()], soon) == []
    after = NOON + timedelta(hours=1)
    assert plan(ERRORS, [(SUBJECT, FIRING)], slots(kept_back), [silence()], after) == [
        Tell(kept_back, FIRING)
    ]


def test_a_silence_needs_every_matcher() -> None:
    about = {"team": "search", "rule": "r", "severity": "warning"}
    assert silenced_by([silence(matchers=(("team", "search"), ("rule", "r")))], about, NOON) is not None
    assert silenced_by([silence(matchers=(("team", "search"), ("rule", "x")))], about, NOON) is None
    assert silenced_by([silence(matchers=(("feature", "*"),))], about, NOON) is None
    assert silenced_by([silence(starts=NOON + timedelta(seconds=1))], about, NOON) is None


def follow(decisions: list[tuple[int, Decision]], window: Window | None) -> list[tuple[datetime, Action]]:
    """Plays verdicts against the store's rules: one alert per slot, and per window ever."""
    now, told = NOON, set()
    alerts: dict[Slot, Open] = {}
    actions: list[tuple[datetime, Action]] = []
    for wait_s, decision in decisions:
        now += timedelta(seconds=wait_s)
        one = verdict(decision, window, now)
        for action in plan(ERRORS, [(SUBJECT, one)], alerts, [], now):
            if isinstance(action, Fire) and action.verdict.window.key in told:
                continue  # the unique row
            actions.append((now, action))
            if isinstance(action, Fire):
                told.add(action.verdict.window.key)
                alerts = slots(opened(action.verdict.window, now))
            elif isinstance(action, Resolve):
                alerts = {}
            else:
                changed = {"seen_at": now} | ({"notified_at": now} if isinstance(action, Tell) else {})
                alerts = slots(msgspec.structs.replace(action.alert, **changed))
    return actions


steps = st.lists(st.tuples(st.integers(1, 7_200), st.sampled_from(Decision)), max_size=60)


@given(steps)
def test_firing_and_over_alternate_whatever_happens(decisions: list[tuple[int, Decision]]) -> None:
    ends = [type(one) for _, one in follow(decisions, None) if isinstance(one, Fire | Resolve)]
    assert ends == [Fire, Resolve] * (len(ends) // 2) + [Fire] * (len(ends) % 2)


@given(steps)
def test_a_calendar_window_fires_once_whatever_happens(decisions: list[tuple[int, Decision]]) -> None:
    actions = [action for _, action in follow(decisions, MONTHLY)]
    assert sum(isinstance(one, Fire) for one in actions) <= 1
    assert sum(isinstance(one, Resolve) for one in actions) <= 1


@given(steps)
def test_nothing_is_told_more_often_than_the_rule_wants(decisions: list[tuple[int, Decision]]) -> None:
    last = NOON
    for now, action in follow(decisions, None):
        if isinstance(action, Tell):
            assert now - last >= timedelta(seconds=ERRORS.renotify_s)
        if isinstance(action, Fire | Tell):
            last = now
