"""Every moment of a period is read once, from the coarsest sums that fit; days are those of the zone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.rollups.asked import planned, prepare
from storage.rollups.plan import Plan, plan, plan_of_days
from storage.rollups.question import Bucket, Question, Source
from storage.rollups.state import CLOSED_DAY, FORGOTTEN_MS
from storage.rollups.zones import DAY_MS, HOUR_MS, Offsets, midnight, midnights, offset

EPOCH = date(1970, 1, 1)
QUARTER = HOUR_MS // 4
BASE = 20_000 * DAY_MS
MOMENTS = st.integers(0, 6 * 24 * 4).map(lambda quarters: BASE + quarters * QUARTER)
ZONES = [
    "UTC",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "America/Havana",
]


def moment(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def quarters(ranges: list[tuple[int, int]]) -> list[int]:
    """Every quarter of an hour in the ranges."""
    return sorted(moment for begin, end in ranges for moment in range(begin, end, QUARTER))


def covered(found: Plan) -> list[int]:
    return quarters(
        [
            (found.days[0] * DAY_MS, found.days[1] * DAY_MS),
            *[(begin * HOUR_MS, end * HOUR_MS) for begin, end in found.hours],
            *found.calls,
        ]
    )


@settings(deadline=None)
@given(MOMENTS, MOMENTS, st.lists(MOMENTS, max_size=6), st.integers(19_999, 20_007))
def test_a_period_is_covered_once(one: int, other: int, cuts: list[int], closed: int) -> None:
    since, until = sorted((one, other))
    inside = [cut for cut in cuts if since < cut < until]
    found = plan(since, until, cuts=inside, days_before=closed)
    assert covered(found) == quarters([(since, until)])
    for begin, end in found.calls:
        hour = begin // HOUR_MS
        assert (end - 1) // HOUR_MS == hour, "parts of hours alone are read from the calls"
        assert any(edge % HOUR_MS and edge // HOUR_MS == hour for edge in (since, until, *inside))
    assert found.days[1] <= closed or found.days == (0, 0)
    for hour in range(BASE // HOUR_MS, BASE // HOUR_MS + 200):
        summed = hour * HOUR_MS in covered(found) and not any(b // HOUR_MS == hour for b, _ in found.calls)
        assert found.has_hour(hour) == summed


@settings(deadline=None)
@given(MOMENTS, MOMENTS)
def test_sums_by_user_take_whole_days_and_calls_the_rest(one: int, other: int) -> None:
    since, until = sorted((one, other))
    found = plan_of_days(since, until)
    assert covered(found) == quarters([(since, until)])
    assert sum(end - begin for begin, end in found.calls) < 2 * DAY_MS


@settings(deadline=None)
@given(MOMENTS, MOMENTS, st.lists(MOMENTS, max_size=4), MOMENTS)
def test_no_call_is_read_that_may_be_gone(one: int, other: int, cuts: list[int], held: int) -> None:
    since, until = sorted((one, other))
    for found in (plan(since, until, cuts=cuts, held_ms=held), plan_of_days(since, until, held_ms=held)):
        assert all(begin >= held for begin, _ in found.calls)
        assert found.since_ms <= since
        assert found.until_ms >= until
        assert covered(found) == quarters([(found.since_ms, found.until_ms)])


@pytest.mark.parametrize("name", ZONES)
def test_days_are_those_of_the_zone_all_year(name: str) -> None:
    zone = ZoneInfo(name)
    begin = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
    end = begin + 366 * DAY_MS
    offsets = Offsets.of(zone, begin, end)
    for moment in range(begin, end, 4 * HOUR_MS + QUARTER):
        local = datetime.fromtimestamp(moment / 1000, UTC).astimezone(zone)
        assert offsets.day(moment) == (local.date() - datetime(1970, 1, 1, tzinfo=UTC).date()).days
    starts = midnights(zone, offsets, begin, end)
    assert len(starts) in (365, 366)
    for start in starts:
        assert offsets.day(start) == offsets.day(start - 1) + 1
        assert int(midnight(offsets.day(start), zone).timestamp() * 1000) == start
    assert offset(zone, begin) == offsets.minutes[0]


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(
        [*ZONES, "America/Los_Angeles", "Atlantic/Azores", "Pacific/Kiritimati", "Pacific/Marquesas"]
    ),
    st.sampled_from(["2026-03-06", "2026-03-27", "2026-10-23", "2026-11-10"]),
    st.integers(0, 300),
    st.integers(1, 500),
    st.integers(-2, 10),
    st.sampled_from([None, 0, 37, 210, 422, 900]),
)
def test_every_quarter_of_an_hour_ends_up_in_its_local_day(
    name: str, around: str, begin: int, length: int, closed: int, forgotten: int | None
) -> None:
    zone = ZoneInfo(name)
    base = int(datetime.fromisoformat(around).replace(tzinfo=UTC).timestamp() * 1000)
    since, until = base + begin * QUARTER, base + (begin + length) * QUARTER
    question = Question(since=moment(since), until=moment(until), bucket=Bucket.DAY, zone=name)
    asked = prepare(question, moment(until))
    held = 0 if forgotten is None else base + forgotten * QUARTER
    found = planned(asked, Source.ROLLUPS, {CLOSED_DAY: base // DAY_MS + closed, FORGOTTEN_MS: held})
    assert covered(found) == quarters([(found.since_ms, found.until_ms)])
    assert found.since_ms <= since < until <= found.until_ms
    if not forgotten:
        assert (found.since_ms, found.until_ms) == (since, until)
    assert all(begin >= held // HOUR_MS * HOUR_MS for begin, _ in (*found.calls, *found.moved.calls))
    moved = {
        *quarters([(one * HOUR_MS, other * HOUR_MS) for one, other in found.moved.hours]),
        *quarters(list(found.moved.calls)),
    }
    cut = found.moved.cut_hours
    for quarter in range(found.since_ms, found.until_ms, QUARTER):
        hour = quarter // HOUR_MS
        # An hour whose calls may be gone cannot be cut: it belongs where it begins.
        at = hour * HOUR_MS if hour * HOUR_MS < held else quarter
        local = (moment(at).astimezone(zone).date() - EPOCH).days
        by_day = found.days[0] <= quarter // DAY_MS < found.days[1]
        if by_day:
            told = quarter // DAY_MS + (found.moved.by if quarter in moved else 0)
            waiting = hour // 24 if hour in cut else asked.offsets.day(hour * HOUR_MS)
            assert waiting + (found.moved.by if hour in cut and quarter in moved else 0) == local
        else:
            assert quarter not in moved
            told = asked.offsets.day(hour * HOUR_MS if found.has_hour(hour) else quarter)
        assert told == local


def of(**changes: object) -> Plan:
    since = datetime(2026, 11, 1, tzinfo=UTC)
    question = Question(**{"since": since, "until": since + timedelta(days=10)} | changes)  # type: ignore[arg-type]
    asked = prepare(question, since + timedelta(days=10))
    return planned(asked, Source.ROLLUPS, {CLOSED_DAY: 30_000})


def test_whole_days_come_from_sums_by_day_where_days_are_utc_days() -> None:
    assert of().days[1] - of().days[0] == 10
    assert of(bucket=Bucket.DAY, zone="Africa/Abidjan").hours == ()
    assert of(zone="Asia/Kolkata").calls == (), "without buckets a zone does not matter"
    assert of(bucket=Bucket.HOUR).days == (0, 0)
    berlin = of(bucket=Bucket.DAY, zone="Europe/Berlin")
    assert (berlin.days, berlin.hours, berlin.moved.by) == ((20_758, 20_768), (), 1)
    assert [end - begin for begin, end in berlin.moved.hours] == [1] * 10, "the last hour of a UTC day"
    pacific = of(bucket=Bucket.DAY, zone="America/Los_Angeles")
    assert pacific.moved.by == -1
    assert {end - begin for begin, end in pacific.moved.hours} == {7, 8}


def test_a_zone_half_an_hour_off_cuts_one_hour_a_day() -> None:
    found = of(bucket=Bucket.DAY, zone="Asia/Kolkata")
    assert (found.calls, found.hours) == ((), ())
    assert [end - begin for begin, end in found.moved.calls] == [HOUR_MS // 2] * 10
    assert [end - begin for begin, end in found.moved.hours] == [5] * 10
    open_days = plan(0, DAY_MS, cuts=[37 * HOUR_MS // 2], day_of=lambda ms: 0)
    assert open_days.calls == ((18 * HOUR_MS, 19 * HOUR_MS),), "of days that are not closed, the whole hour"


def test_a_question_without_end_goes_on_for_ever() -> None:
    found = of(until=None, bucket=Bucket.DAY, zone="Europe/Berlin")
    assert found.has_hour(1_000_000)
    asked = prepare(
        Question(since=datetime(2026, 11, 1, 0, 30, tzinfo=UTC)), datetime(2026, 11, 2, tzinfo=UTC)
    )
    gone = planned(asked, Source.ROLLUPS, {CLOSED_DAY: 0, FORGOTTEN_MS: 2**41})
    assert gone.since_ms % HOUR_MS == 0
    assert gone.calls == ()


def test_days_that_begin_at_half_past_are_not_looked_for_far_ahead() -> None:
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    question = Question(since=now - timedelta(hours=12), bucket=Bucket.DAY, zone="Asia/Kolkata")
    found = planned(prepare(question, now), Source.ROLLUPS, {})
    assert len(found.calls) == 2, "tonight and tomorrow"
