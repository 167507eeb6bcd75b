"""[reports] in the settings: read in full, taken over by a reload, and refused with the key named."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest
from alerts.messages import ROUTING_KEY, SECRET

from gateway.alerting.plan import plan_of
from gateway.app import Gateway
from gateway.reporting.plan import ReportPlan, report_plan
from gateway.settings import Settings, SettingsError, load
from gateway.settings.lint import lint
from telemetry.insights.report.schedule import Due, Span

CHANNELS = """
[alerts.channels.ops]
kind = "webhook"
url = "https://hooks.example.com/alerts"
secret_env = "HOOK"

[alerts.channels.old]
kind = "webhook"
url = "https://alertmanager.example.com/hook"
format = "alertmanager"

[alerts.channels.pager]
kind = "pagerduty"
routing_key_env = "KEY"
"""


@pytest.fixture(autouse=True)
def _environ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", SECRET)
    monkeypatch.setenv("KEY", ROUTING_KEY)


def settings(folder: Path, text: str) -> Settings:
    file = folder / "weighbridge.toml"
    file.write_text(f'[storage]\ndata_dir = "{folder / "data"}"\n{CHANNELS}\n[reports]\n{text}')
    return load(file)


def planned(folder: Path, text: str) -> ReportPlan:
    found = settings(folder, text)
    return report_plan(found, plan_of(found))


def test_all_of_it(tmp_path: Path) -> None:
    text = 'weekly = "Monday 08:00"\nmonthly = "1 07:30"\ntz = "Europe/Zurich"\nchannels = ["ops"]'
    plan = planned(tmp_path, text)
    assert plan.dues == (Due(Span.WEEKLY, 0, time(8)), Due(Span.MONTHLY, 1, time(7, 30)))
    assert (plan.zone, [post.name for post in plan.posts]) == ("Europe/Zurich", ["ops"])
    assert lint(settings(tmp_path, text), {"HOOK": SECRET, "KEY": ROUTING_KEY}) == []


def test_without_a_time_nothing_is_sent(tmp_path: Path) -> None:
    assert planned(tmp_path, "") == ReportPlan()
    assert planned(tmp_path, 'channels = ["ops"]').dues == ()


@pytest.mark.parametrize(
    ("text", "key", "what", "how"),
    [
        ('weekly = "8am"\nchannels = ["ops"]', "reports.weekly", "'8am' is not a time", "monday 08:00"),
        ('monthly = "31 08:00"\nchannels = ["ops"]', "reports.monthly", "'31 08:00'", "from 1 to 28"),
        ('tz = "Mars/Olympus"', "reports.tz", "'Mars/Olympus' is not a time zone", "Europe/Zurich"),
        ('weekly = "monday 08:00"', "reports.channels", "is empty", "[alerts.channels]"),
        ('channels = ["opps"]', "reports.channels", "'opps' is not a channel", "Did you mean ops"),
        ('channels = ["pager"]', "reports.channels", "pager (pagerduty) opens incidents", "another channel"),
        ('channels = ["old"]', "reports.channels", "old (webhook) opens incidents", "another channel"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, key: str, what: str, how: str) -> None:
    found = settings(tmp_path, text)
    for refuse in (lambda: Gateway(found), lambda: planned(tmp_path, text)):
        with pytest.raises(SettingsError) as refused:
            refuse()
        (problem,) = refused.value.problems
        assert problem.key == key
        assert what in problem.what
        assert how in problem.how
    assert [problem.key for problem in lint(found, {"HOOK": SECRET, "KEY": ROUTING_KEY})] == [key]


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        planned(tmp_path, 'weekly = "x"\nmonthly = "y"\ntz = "z"\nchannels = ["a", "pager"]')
    keys = [problem.key for problem in refused.value.problems]
    assert keys == ["reports.weekly", "reports.monthly", "reports.tz", "reports.channels", "reports.channels"]
