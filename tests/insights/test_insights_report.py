"""Reports: when they are due and what about, what they say, and that nothing in a name becomes markup."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.insights.ahead import Until
from telemetry.insights.anomaly import Anomaly
from telemetry.insights.forecast import Method
from telemetry.insights.numbers import change, count, money, name_of, points, share
from telemetry.insights.outlook import Outlook
from telemetry.insights.recommend import Facts, Kind, Recommendation, Unused, recommendations
from telemetry.insights.report import html, markdown
from telemetry.insights.report.contents import Line, Ranking, Report, Standout, Traffic
from telemetry.insights.report.page import page, title
from telemetry.insights.report.schedule import Span, before, due_of, key_of, latest, whole
from telemetry.quality import Measures

USD = 10**9
NASTY = "<script>alert(1)</script> | [x](https://evil.example) `a` www.evil.example &amp;\n\x1b[31m"
MONDAY = date(2026, 11, 16)
REPORT = Report(
    span=Span.WEEKLY,
    since=MONDAY,
    until=MONDAY + timedelta(days=7),
    zone="Europe/Zurich",
    now=Traffic(
        calls=1000,
        failed=30,
        users=12,
        sessions=40,
        input_tokens=3_000_000,
        output_tokens=400_000,
        cache_read_tokens=600_000,
        cost_nano=28 * USD,
        estimated_nano=USD,
        partial_nano=USD // 2,
        unpriced_calls=10,
        baseline_nano=10 * USD,
        baseline_cost_nano=4 * USD,
        p50_us=900_000,
        p95_us=4_000_000,
    ),
    before=Traffic(calls=800, failed=24, users=10, cost_nano=20 * USD, p95_us=2_000_000),
    days=(4 * USD, 4 * USD, 8 * USD, 4 * USD, 4 * USD, 3 * USD, USD),
    rankings=(
        Ranking(
            "team",
            (Line("search", 600, 20 * USD, 10 * USD), Line(NASTY, 300, 6 * USD, 0)),
            Line(None, 100, 2 * USD, 4 * USD),
            3,
        ),
        Ranking("user", ()),
    ),
    quality=Measures(
        calls=200, judged=200, good=180, user_count=200, user_good=180, priced=200, cost_nano=9 * USD
    ),
    quality_before=Measures(calls=200, judged=200, good=120, user_count=200, user_good=120),
    standouts=(
        Standout(MONDAY + timedelta(days=2), "", Anomaly(0, 8 * USD, 4 * USD, 3 * USD, 5 * USD, 9_000_000)),
        Standout(MONDAY + timedelta(days=2), "team x", Anomaly(0, 6 * USD, 2 * USD, USD, 3 * USD, 9_000_000)),
    ),
    outlooks=(
        Outlook(
            Until.MONTH,
            date(2026, 11, 30),
            90 * USD,
            98 * USD,
            97 * USD,
            99 * USD,
            Method.SEASONAL,
            800_000,
        ),
    ),
    recommendations=(Recommendation(Kind.IDLE_KEY, NASTY, (), 5 * USD, 900_000, f"Key {NASTY} is idle."),),
)
EMPTY = Report(
    span=Span.MONTHLY,
    since=date(2026, 2, 1),
    until=date(2026, 3, 1),
    zone="UTC",
    now=Traffic(),
    before=Traffic(),
    days=(0,) * 28,
)


class Reading(HTMLParser):
    """Which elements there are; fails on one that is not closed, and on every attribute that could do anything."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert {name for name, _ in attrs} <= {"lang", "charset", "name", "content", "class", "style"}
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(text: str) -> Reading:
    reading = Reading()
    reading.feed(text)
    reading.close()
    assert reading.open == []
    return reading


def test_the_whole_week_in_markdown() -> None:
    text = markdown.rendered(page(REPORT))
    lines = text.splitlines()
    assert lines[0] == "# Week 47 of 2026: 16 to 22 November"
    assert lines[2] == "all calls · Europe/Zurich · compared with the week before"
    for line in (
        "| Spend | $28.00 | +40 % | $0.0280 a call |",
        "| Tokens | 3.40 M | new | 20 % of the input from caches |",
        "| Failed | 3 % | ± 0 points | 30 calls |",
        "| Latency p95 | 4.00 s | +100 % | median 900 ms |",
        "| Wed 2026-11-18 | $8.00 | ████████████████████████ | stands out: $4.00 expected |",
        "| Sun 2026-11-22 | $1.00 | ███ |  |",
        "| Wed 2026-11-18 | team x | $6.00 | $2.00 | $3.00 |",
        "*$1.00 (3.6 %) of the spend is estimated; $0.50 (1.8 %) is a lower bound; 10 calls (1 %) have no known cost and "
        "are not in it.*",
        "| search | $20.00 | 71.4 % | +100 % | 600 | $33.33 |",
        "| 3 more | $2.00 | 7.1 % | −50 % | 100 | $20.00 |",
        "Routed calls cost $4.00; on their baseline models they would have cost $10.00: $6.00 (60 %) saved, $0 the "
        "period before.",
        "| Good answers | 90 % | +30.0 points | of 200 |",
        "| month | 2026-11-30 | $90.00 | $98.00 | $97.00 | $99.00 |",
    ):
        assert line in lines
    assert "## By user" not in lines, "nobody has a name"


def test_the_whole_week_in_html() -> None:
    reading = read(html.rendered(page(REPORT)))
    assert {"script", "img", "a", "link"} & reading.seen == set()
    for text in (
        "Week 47 of 2026",
        "$28.00",
        "+40 %",
        "<script>alert(1)</script>",
        "stands out: $4.00 expected",
    ):
        assert text in reading.text
    shown = html.rendered(page(REPORT))
    assert '<span class="good">+30.0 points</span>' in shown
    assert '<span class="bad">+100 %</span>' in shown, "twice as slow"
    assert "<span>± 0 points</span>" in shown
    assert shown.count('class="odd"') == 1
    assert "http" not in shown.replace("https://evil.example", "")


def test_names_are_text_and_nothing_else() -> None:
    text = markdown.rendered(page(REPORT))
    assert r"\<script\>alert(1)\</script\> \| \[x\](https:\//evil.example) \`a\` w…" in text
    assert r"www\.evil.example \&amp; \[31m is idle" in text
    assert "\x1b" not in text + html.rendered(page(REPORT))
    found = recommendations(Facts(days=30, keys=(Unused(NASTY, 20, 5),)))
    assert "\n" not in found[0].text
    assert "\x1b" not in found[0].text


@given(st.text(max_size=120))
def test_no_name_breaks_the_page(name: str) -> None:
    ranking = Ranking("team", (Line(name, 5, 5, 5),))
    changed = msgspec.structs.replace(
        REPORT, rankings=(ranking,), scope=(("team", name),), recommendations=()
    )
    reading = read(html.rendered(page(changed)))
    assert "script" not in reading.seen
    widths = {
        line.replace(r"\|", "").count("|")
        for line in markdown.rendered(page(changed)).splitlines()
        if line.startswith("| Team") or line.startswith("| ---: |") or line.endswith("| $0.000001 |")
    }
    assert widths == {7}


def test_a_month_without_calls_has_no_sections_but_its_days() -> None:
    text = markdown.rendered(page(EMPTY))
    assert text.startswith("# February 2026\n")
    assert [line for line in text.splitlines() if line.startswith("## ")] == ["## Spend by day"]
    assert "| Failed | – |  | 0 calls |" in text
    assert text.count("| 2026-02") == 0
    assert text.count("2026-02-") == 28
    read(html.rendered(page(EMPTY)))


def test_the_summary_says_the_most_important() -> None:
    assert page(REPORT).summary == (
        "Spend: $28.00 (+40 %)",
        "Calls: 1,000 (+25 %), 3 % failed",
        "Teams: search $20.00, <script>alert(1)</script> | [x](https://evil.example) `a` w… $6.00",
        "By the end of the month (2026-11-30): $98.00, $97.00 to $99.00",
        "Days that stand out: 2",
        "Recommendations: 1, worth up to $5.00 in 30 days",
    )


@pytest.mark.parametrize(
    ("span", "since", "until", "expected"),
    [
        (Span.WEEKLY, date(2026, 12, 28), date(2027, 1, 4), "Week 53 of 2026: 28 December to 3 January"),
        (Span.WEEKLY, date(2026, 2, 2), date(2026, 2, 9), "Week 6 of 2026: 2 to 8 February"),
        (Span.MONTHLY, date(2026, 10, 1), date(2026, 11, 1), "October 2026"),
    ],
)
def test_titles(span: Span, since: date, until: date, expected: str) -> None:
    assert title(msgspec.structs.replace(EMPTY, span=span, since=since, until=until)) == expected


@given(st.sampled_from(Span), st.dates(date(2001, 1, 1), date(2098, 1, 1)))
def test_a_whole_period_is_over_and_the_next_is_not(span: Span, day: date) -> None:
    since, until = whole(span, day)
    assert since < until <= day
    assert (day - until).days < (7 if span is Span.WEEKLY else 31)
    assert (until - since).days == 7 if span is Span.WEEKLY else since.day == until.day == 1
    assert whole(span, until) == (since, until)
    assert whole(span, since) == (before(span, since), since)
    assert key_of(span, since) != key_of(span, before(span, since))


@pytest.mark.parametrize(
    ("span", "text", "fit"),
    [
        (Span.WEEKLY, "monday 08:00", True),
        (Span.WEEKLY, "Friday 23:59", True),
        (Span.WEEKLY, "monday 24:00", False),
        (Span.WEEKLY, "monday 8:00", False),
        (Span.WEEKLY, "1 08:00", False),
        (Span.MONTHLY, "1 08:00", True),
        (Span.MONTHLY, "28 00:00", True),
        (Span.MONTHLY, "29 00:00", False),
        (Span.MONTHLY, "0 00:00", False),
        (Span.MONTHLY, "", False),
    ],
)
def test_what_can_be_said_of_the_time(span: Span, text: str, fit: bool) -> None:
    assert (due_of(span, text) is not None) is fit


@pytest.mark.parametrize(
    ("span", "text", "now", "expected"),
    [
        (Span.WEEKLY, "monday 08:00", "2026-11-16T07:00+00:00", "2026-11-16T08:00+01:00"),
        (Span.WEEKLY, "monday 08:00", "2026-11-16T06:59+00:00", "2026-11-09T08:00+01:00"),
        (Span.WEEKLY, "sunday 00:30", "2026-03-29T12:00+00:00", "2026-03-29T00:30+01:00"),
        (Span.MONTHLY, "1 08:00", "2026-07-01T06:00+00:00", "2026-07-01T08:00+02:00"),
        (Span.MONTHLY, "28 08:00", "2026-03-01T06:00+00:00", "2026-02-28T08:00+01:00"),
    ],
)
def test_when_it_was_due(span: Span, text: str, now: str, expected: str) -> None:
    due = due_of(span, text)
    assert due is not None
    found = latest(due, datetime.fromisoformat(now), ZoneInfo("Europe/Zurich"))
    assert found == datetime.fromisoformat(expected)


@given(
    st.integers(1_577_836_800, 2_208_988_800),
    st.sampled_from(["monday 02:30", "sunday 23:00"]),
)
def test_it_was_due_within_a_week(second: int, text: str) -> None:
    due = due_of(Span.WEEKLY, text)
    assert due is not None
    now = datetime.fromtimestamp(second, UTC)
    found = latest(due, now, ZoneInfo("America/New_York"))
    assert timedelta() <= now - found <= timedelta(days=7, hours=1)
    assert found.weekday() == due.day


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (count(0), "0"),
        (count(99_999), "99,999"),
        (count(123_456), "123 k"),
        (count(4_567_890), "4.57 M"),
        (count(12_345_678_901), "12.3 G"),
        (share(0, 10), "0 %"),
        (share(1, 10_000), "< 0.1 %"),
        (share(1, 3), "33.3 %"),
        (share(905, 1000), "90.5 %"),
        (share(3, 100), "3 %"),
        (share(34, 1000), "3.4 %"),
        (share(1, 0), "–"),
        (change(3, 0), "new"),
        (change(0, 0), "–"),
        (change(0, 5), "−100 %"),
        (change(1034, 1000), "+3.4 %"),
        (change(1128, 1000), "+13 %"),
        (change(10_000, 10_001), "± 0 %"),
        (change(55, 5), "× 11"),
        (points(100_000, None), ""),
        (points(110_000, 98_000), "+1.2 points"),
        (money(0), "$0"),
        (money(1_234_500_000_000), "$1,234.50"),
        (money(999_000_000), "$1.00"),
        (money(123_000_000), "$0.12"),
        (money(28_274_000), "$0.0283"),
        (money(-28_274_000), "-$0.0283"),
        (money(123_000), "$0.000123"),
        (name_of(None), "(none)"),
        (name_of(" a\tb\x00 "), "a b"),
        (name_of("x" * 61), "x" * 59 + "…"),
    ],
)
def test_numbers_as_people_read_them(found: str, expected: str) -> None:
    assert found == expected
