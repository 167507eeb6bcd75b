"""What the settings say of reports, checked before anything starts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from gateway.alerting.plan import AlertPlan
from gateway.settings import Settings
from gateway.settings.problem import Problem, SettingsError
from telemetry.alerts.channels.contract import Post
from telemetry.insights.report.schedule import Due, Span, due_of

_HOW: Final = {
    Span.WEEKLY: 'Write it like "monday 08:00"',
    Span.MONTHLY: 'Write it like "1 08:00": a day of the month from 1 to 28, and a time',
}


class ReportPlan(msgspec.Struct, frozen=True):
    """When reports are due, and who gets them."""

    dues: tuple[Due, ...] = ()
    zone: str = "UTC"
    posts: tuple[Post, ...] = ()


def report_plan(settings: Settings, alerts: AlertPlan) -> ReportPlan:
    """``alerts``: the channels. Raises :class:`SettingsError` with everything that is wrong."""
    section = settings.reports
    texts = {Span.WEEKLY: section.weekly, Span.MONTHLY: section.monthly}
    wanted = {span: text for span, text in texts.items() if text is not None}
    dues = {span: due_of(span, text) for span, text in wanted.items()}
    problems = [
        Problem(f"reports.{span.value}", f"{wanted[span][:60]!r} is not a time", _HOW[span])
        for span, due in dues.items()
        if due is None
    ]
    try:
        ZoneInfo(section.tz)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        what = f"{section.tz[:60]!r} is not a time zone this machine knows"
        problems.append(Problem("reports.tz", what, 'Write an IANA name, such as "Europe/Zurich" or "UTC"'))
    problems += _channels(section.channels, alerts)
    if dues and not section.channels:
        how = "Name channels of [alerts.channels]"
        problems.append(Problem("reports.channels", "is empty: nobody would get the report", how))
    if problems:
        raise SettingsError(problems)
    posts = [post for post in alerts.posts if post.name in section.channels]
    return ReportPlan(tuple(due for due in dues.values() if due is not None), section.tz, tuple(posts))


def _channels(names: tuple[str, ...], alerts: AlertPlan) -> Iterator[Problem]:
    posts = {post.name: post for post in alerts.posts}
    for name in names:
        if name not in posts:
            yield Problem("reports.channels", f"{name!r} is not a channel", alerts.meant(name))
        elif not posts[name].carries_notices:
            what = f"{name} ({posts[name].channel.name}) opens incidents and shows no reports"
            yield Problem("reports.channels", what, "Name another channel")
