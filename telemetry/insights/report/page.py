"""A report in words: which blocks it has, in which order, and what they say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from telemetry.alerts.words import micros
from telemetry.insights.anomaly import Direction
from telemetry.insights.experiment import quality_difference
from telemetry.insights.forecast import Method
from telemetry.insights.numbers import NONE, PPM, change, count, money, name_of, points, share
from telemetry.insights.report.blocks import (
    Bar,
    Bars,
    Block,
    Column,
    Heading,
    Item,
    Items,
    Page,
    Paragraph,
    Table,
    Tile,
    Tiles,
    Tone,
)
from telemetry.insights.report.contents import Line, Ranking, Report
from telemetry.insights.report.schedule import Span, key_of
from telemetry.quality import Measures, Share, acceptance, cost_per_good_nano, csat, satisfaction

_METHODS: Final = {
    Method.SEASONAL: "days of the week, level and trend of the last twelve weeks",
    Method.MEAN: "the mean of the last days: there is too little history for more",
    Method.NAIVE: "the only day there is",
}


def page(report: Report) -> Page:
    """The whole report. Texts are plain: names stand in them as apps gave them, on one line and cut."""
    blocks: list[Block] = [_headline(report)]
    for section in (_spend, _rankings, _savings, _quality, _outlooks, _advice, _notes):
        blocks += section(report)
    return Page(title(report), _subtitle(report), tuple(_summary(report)), tuple(blocks))


def title(report: Report) -> str:
    """``Week 47 of 2026: 16 to 22 November``."""
    since, last = report.since, report.until - timedelta(days=1)
    if report.span is Span.MONTHLY:
        return f"{since:%B %Y}"
    year, week = key_of(report.span, since).split("-W")
    days = f"{since.day} {since:%B} to {last.day} {last:%B}"
    if since.month == last.month:
        days = f"{since.day} to {last.day} {last:%B}"
    return f"Week {int(week)} of {year}: {days}"


def _subtitle(report: Report) -> str:
    what = ", ".join(f"{dimension} {name_of(value)}" for dimension, value in report.scope) or "all calls"
    than = "week" if report.span is Span.WEEKLY else "month"
    return f"{what} · {report.zone} · compared with the {than} before"


def _summary(report: Report) -> Iterator[str]:
    now, before = report.now, report.before
    yield f"Spend: {money(now.cost_nano)} ({change(now.cost_nano, before.cost_nano)})"
    yield f"Calls: {count(now.calls)} ({change(now.calls, before.calls)}), {share(now.failed, now.calls)} failed"
    for ranking in report.rankings[:2]:
        if ranking.lines:
            most = (f"{name_of(one.name)} {money(one.cost_nano)}" for one in ranking.lines[:3])
            yield f"{ranking.of.capitalize()}s: {', '.join(most)}"
    for outlook in report.outlooks[:1]:
        last = f"By the end of the {outlook.until.value} ({outlook.last})"
        yield f"{last}: {money(outlook.total_nano)}, {money(outlook.low_nano)} to {money(outlook.high_nano)}"
    if report.standouts:
        yield f"Days that stand out: {len(report.standouts)}"
    saving = sum(one.saving_nano for one in report.recommendations)
    if report.recommendations:
        yield f"Recommendations: {len(report.recommendations)}, worth up to {money(saving)} in 30 days"


def _headline(report: Report) -> Tiles:
    now, before = report.now, report.before
    tokens, tokens_before = now.input_tokens + now.output_tokens, before.input_tokens + before.output_tokens
    slower = Tone.NEUTRAL
    if now.p95_us and before.p95_us and abs(now.p95_us - before.p95_us) * 10 > before.p95_us:
        slower = Tone.BAD if now.p95_us > before.p95_us else Tone.GOOD
    failed, failed_before = Share(now.failed, now.calls), Share(before.failed, before.calls)
    each = f"{money(now.cost_nano // now.calls)} a call" if now.calls else ""
    cached = f"{share(now.cache_read_tokens, now.input_tokens)} of the input from caches"
    return Tiles(
        (
            Tile("Spend", money(now.cost_nano), change(now.cost_nano, before.cost_nano), note=each),
            Tile("Calls", count(now.calls), change(now.calls, before.calls)),
            Tile("Tokens", count(tokens), change(tokens, tokens_before), note=cached),
            Tile(
                "Users",
                count(now.users),
                change(now.users, before.users),
                note=f"{count(now.sessions)} sessions",
            ),
            Tile(
                "Failed",
                share(now.failed, now.calls),
                points(failed.ppm, failed_before.ppm),
                _tone(failed, failed_before, more=Tone.BAD),
                f"{count(now.failed)} calls",
            ),
            Tile(
                "Latency p95",
                NONE if now.p95_us is None else micros(now.p95_us),
                change(now.p95_us or 0, before.p95_us or 0),
                slower,
                "" if now.p50_us is None else f"median {micros(now.p50_us)}",
            ),
        )
    )


def _spend(report: Report) -> Iterator[Block]:
    yield Heading("Spend by day")
    most = max(report.days, default=0)
    odd = {one.day: one.anomaly for one in report.standouts if not one.of}
    bars = []
    for place, nano in enumerate(report.days):
        day = report.since + timedelta(days=place)
        note = f"stands out: {money(odd[day].expected)} expected" if day in odd else ""
        bars.append(Bar(f"{day:%a} {day}", nano * PPM // most if most else 0, money(nano), note))
    yield Bars(tuple(bars))
    others = [one for one in report.standouts if one.of]
    if others:
        yield Paragraph("Days that stand out within:")
        yield Table(
            (
                Column("Day", number=False),
                Column("Where", number=False),
                Column("Spent"),
                Column("Expected"),
                Column("Usual up to"),
            ),
            tuple(
                (
                    f"{one.day:%a} {one.day}",
                    name_of(one.of),
                    money(one.anomaly.value),
                    money(one.anomaly.expected),
                    money(one.anomaly.high)
                    if one.anomaly.direction is Direction.HIGH
                    else f"from {money(one.anomaly.low)}",
                )
                for one in others
            ),
        )
    yield Paragraph(_certainty(report), quiet=True)


def _certainty(report: Report) -> str:
    """How much of the spend is not exact."""
    now = report.now
    said = []
    if now.estimated_nano:
        part = share(now.estimated_nano, now.cost_nano)
        said.append(f"{money(now.estimated_nano)} ({part}) of the spend is estimated")
    if now.partial_nano:
        part = share(now.partial_nano, now.cost_nano)
        said.append(f"{money(now.partial_nano)} ({part}) is a lower bound")
    if now.unpriced_calls:
        part = share(now.unpriced_calls, now.calls)
        one = now.unpriced_calls == 1
        calls = f"{count(now.unpriced_calls)} {'call' if one else 'calls'} ({part})"
        said.append(
            f"{calls} {'has' if one else 'have'} no known cost and {'is' if one else 'are'} not in it"
        )
    if not said:
        return "Every call has a known cost, from what its provider reported."
    return "; ".join(said) + "."


def _rankings(report: Report) -> Iterator[Block]:
    for ranking in report.rankings:
        if not ranking.lines:
            continue
        yield Heading(f"By {ranking.of}")
        yield Table(
            (
                Column(ranking.of.capitalize(), number=False),
                Column("Spend"),
                Column("Share"),
                Column("Change"),
                Column("Calls"),
                Column("Per 1,000 calls"),
            ),
            tuple(_ranked(report, ranking)),
        )


def _ranked(report: Report, ranking: Ranking) -> Iterator[tuple[str, ...]]:
    lines = [(name_of(line.name), line) for line in ranking.lines]
    if ranking.rest is not None:
        lines.append((f"{ranking.others:,} more", ranking.rest))
    for name, line in lines:
        yield (
            name,
            money(line.cost_nano),
            share(line.cost_nano, report.now.cost_nano),
            change(line.cost_nano, line.before_nano),
            count(line.calls),
            _per_thousand(line),
        )


def _per_thousand(line: Line) -> str:
    return money(1000 * line.cost_nano // line.calls) if line.calls else NONE


def _savings(report: Report) -> Iterator[Block]:
    now, before = report.now, report.before
    if not now.baseline_nano:
        return
    saved, saved_before = (one.baseline_nano - one.baseline_cost_nano for one in (now, before))
    yield Heading("Savings by routing")
    yield Paragraph(
        f"Routed calls cost {money(now.baseline_cost_nano)}; on their baseline models they would have cost "
        f"{money(now.baseline_nano)}: {money(saved)} ({share(saved, now.baseline_nano)}) saved, "
        f"{money(saved_before)} the period before."
    )


def _quality(report: Report) -> Iterator[Block]:
    now, before = report.quality, report.quality_before
    if not now.calls:
        return
    yield Heading("Quality")
    tiles = [
        _share_tile("Good answers", _good(now), _good(before)),
        _share_tile("Satisfaction", satisfaction(now), satisfaction(before)),
        _share_tile("Acceptance", acceptance(now), acceptance(before)),
        _share_tile("CSAT", csat(now), csat(before)),
    ]
    each, each_before = cost_per_good_nano(now), cost_per_good_nano(before)
    if each is not None:
        tiles.append(
            Tile("Cost per good answer", money(each), change(each, each_before) if each_before else "")
        )
    yield Tiles(tuple(tile for tile in tiles if tile is not None))


def _good(of: Measures) -> Share:
    return Share(of.good, of.judged)


def _share_tile(label: str, now: Share, before: Share) -> Tile | None:
    if not now.whole:
        return None
    changed, tone = points(now.ppm, before.ppm), _tone(now, before, more=Tone.GOOD)
    return Tile(label, share(now.part, now.whole), changed, tone, f"of {count(now.whole)}")


def _tone(now: Share, before: Share, more: Tone) -> Tone:
    """Neutral, unless the share has changed by more than chance does; ``more``: what it means if it has grown."""
    change = quality_difference(before.part, before.whole, now.part, now.whole)
    if change is None or not change.certain:
        return Tone.NEUTRAL
    return more if change.value > 0 else {Tone.GOOD: Tone.BAD, Tone.BAD: Tone.GOOD}[more]


def _outlooks(report: Report) -> Iterator[Block]:
    if not report.outlooks:
        return
    yield Heading("Forecast")
    yield Table(
        (
            Column("By the end of the", number=False),
            Column("Until", number=False),
            Column("Spent so far"),
            Column("Forecast"),
            Column("From"),
            Column("To"),
        ),
        tuple(
            (
                one.until.value,
                str(one.last),
                money(one.spent_nano),
                money(one.total_nano),
                money(one.low_nano),
                money(one.high_nano),
            )
            for one in report.outlooks
        ),
    )
    told = report.outlooks[0]
    yield Paragraph(
        f"By {_METHODS[told.method]}. The truth is within the bounds in {share(told.confidence_ppm, PPM)} of cases.",
        quiet=True,
    )


def _advice(report: Report) -> Iterator[Block]:
    if not report.recommendations:
        return
    yield Heading("Recommendations")
    yield Items(
        tuple(
            Item(
                f"{one.kind.replace('_', ' ').capitalize()}: {name_of(one.subject)}",
                one.text,
                (f"saves up to {money(one.saving_nano)} in 30 days · " if one.saving_nano else "")
                + f"confidence {share(one.confidence_ppm, PPM)}",
            )
            for one in report.recommendations
        )
    )


def _notes(report: Report) -> Iterator[Block]:
    notes = ["Users without a name are not counted."]
    if report.quality.calls and report.zone != "UTC":
        notes.append("Verdicts are by UTC day.")
    yield Paragraph(" ".join(notes), quiet=True)
