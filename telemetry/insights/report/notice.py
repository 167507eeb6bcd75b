"""A report as the channels of alerts carry it."""

from __future__ import annotations

from datetime import datetime

import msgspec

from telemetry.alerts.notice import Notice
from telemetry.insights.report import html, markdown
from telemetry.insights.report.contents import Report
from telemetry.insights.report.page import page
from telemetry.insights.report.schedule import Span, key_of


def id_of(span: Span, key: str) -> str:
    """``report-weekly-2026-W47``: the same on every machine."""
    return f"report-{span.value}-{key}"


def notice_of(report: Report, at: datetime) -> Notice:
    """The report in every form."""
    made = page(report)
    figures = {name: value for name, value in msgspec.structs.asdict(report.now).items() if value is not None}
    return Notice(
        id=id_of(report.span, key_of(report.span, report.since)),
        kind=f"report.{report.span.value}",
        title=f"Weighbridge: {made.title}",
        lines=made.summary,
        markdown=markdown.rendered(made),
        html=html.rendered(made),
        figures=figures,
        at=at,
    )
