"""``weighbridge report``: written where it was asked for, in the form that was asked for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alerts.messages import ROUTING_KEY, SECRET
from rig.ledger import record
from rig.script import reply
from rig.upstream import ScriptedUpstream

from pricing.cost import Cost, CostSource, CostStatus

from .conftest import Weighbridge, put_records

NOON = datetime(2026, 11, 16, 12, tzinfo=UTC)
"""A Monday."""


@pytest.fixture(autouse=True)
def _spend() -> None:
    """2 USD a day for each of two teams."""
    cost = Cost(CostStatus.PRICED, CostSource.CATALOGUE, 2 * 10**9, 2 * 10**9, 0, 0, 0, 0)
    put_records(
        *[
            record(ms=int((NOON - timedelta(days=ago)).timestamp() * 1000), who={"team": team}, cost=cost)
            for ago in range(1, 31)
            for team in ("search", "ads")
        ]
    )


def test_the_last_whole_week(weighbridge: Weighbridge) -> None:
    result = weighbridge("report", "--weekly", "--at", "2026-11-18")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0] == "# Week 46 of 2026: 9 to 15 November"
    assert lines[2] == "all calls · UTC · compared with the week before"
    assert "| Spend | $28.00 | ± 0 % | $2.00 a call |" in lines
    assert "| ada | $28.00 | 100 % | ± 0 % | 14 | $2,000.00 |" in lines
    assert "| month | 2026-11-30 | $60.00 | $120.00 | $120.00 | $120.00 |" in lines


def test_a_month_of_one_team(weighbridge: Weighbridge) -> None:
    result = weighbridge("report", "--monthly", "--at", "2026-11-18", "--team", "ads", "--tz", "Asia/Tokyo")
    lines = result.output.splitlines()
    assert lines[:3] == ["# October 2026", "", "team ads · Asia/Tokyo · compared with the month before"]
    assert "| Spend | $30.00 | new | $2.00 a call |" in lines


@pytest.mark.parametrize(
    ("arguments", "file", "beginning"),
    [
        ([], "week.html", "<!doctype html>"),
        ([], "week.md", "# Week 46"),
        ([], "week", "# Week 46"),
        (["--format", "html"], "week.txt", "<!doctype html>"),
    ],
)
def test_into_a_file(weighbridge: Weighbridge, arguments: list[str], file: str, beginning: str) -> None:
    result = weighbridge("report", "--weekly", "--at", "2026-11-18", *arguments, "--output", file)
    assert result.exit_code == 0, result.output
    assert result.output == f"Written to {file}\n"
    assert Path(file).read_text(encoding="utf-8").startswith(beginning)


def test_html_on_stdout(weighbridge: Weighbridge) -> None:
    result = weighbridge("report", "--weekly", "--at", "2026-11-18", "--format", "html")
    assert result.output.startswith("<!doctype html>")
    assert result.output.endswith("</html>\n")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--at", "2026-11-18"], 2, "Say --weekly or --monthly."),
        (["--weekly", "--at", "2020-01-01"], 1, "no calls from 2019-12-23 to 2019-12-29"),
        (["--weekly", "--tz", "Mars/Olympus"], 2, "'Mars/Olympus' is not a time zone"),
        (
            ["--weekly", "--at", "2026-11-18", "--output", "nowhere/week.md"],
            1,
            "nowhere/week.md cannot be written",
        ),
    ],
)
def test_what_goes_wrong_is_said(
    weighbridge: Weighbridge, arguments: list[str], code: int, said: str
) -> None:
    result = weighbridge("report", *arguments)
    assert result.exit_code == code
    assert said in result.output


@pytest.mark.parametrize(
    ("status", "code", "said"), [(200, 0, "ok  ops took it (200"), (400, 1, "did not take it")]
)
async def test_sent_at_once(
    weighbridge: Weighbridge, monkeypatch: pytest.MonkeyPatch, status: int, code: int, said: str
) -> None:
    monkeypatch.setenv("HOOK", SECRET)
    async with ScriptedUpstream(default=reply(status)) as receiver:
        Path("weighbridge.toml").write_text(
            f"""
            [alerts.channels.ops]
            kind = "webhook"
            url = "{receiver.base}/hook"
            secret_env = "HOOK"
            allow_private = true
            """
        )
        arguments = ("report", "--weekly", "--at", "2026-11-18", "--send")
        result = await asyncio.to_thread(weighbridge, *arguments, "ops")
        assert result.exit_code == code, result.output
        assert said in result.output
        (seen,) = receiver.requests
        assert b"Week 46 of 2026: 9 to 15 November" in seen.body
        assert b"ada" not in seen.body
        unknown = await asyncio.to_thread(weighbridge, *arguments, "opps")
        assert (unknown.exit_code, "Did you mean ops" in unknown.output) == (2, True)


def test_what_opens_incidents_gets_no_report(
    weighbridge: Weighbridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", ROUTING_KEY)
    Path("weighbridge.toml").write_text(
        '[alerts.channels.pager]\nkind = "pagerduty"\nrouting_key_env = "KEY"\n'
    )
    result = weighbridge("report", "--weekly", "--at", "2026-11-18", "--send", "pager")
    assert result.exit_code == 2
    assert "pager (pagerduty) opens incidents and shows no reports" in result.output


def test_the_time_zone_of_the_settings(weighbridge: Weighbridge) -> None:
    Path("weighbridge.toml").write_text('[reports]\ntz = "Asia/Tokyo"\n')
    result = weighbridge("report", "--weekly", "--at", "2026-11-18")
    assert "all calls · Asia/Tokyo · compared with the week before" in result.output


def test_without_records(weighbridge: Weighbridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    result = weighbridge("report", "--weekly")
    assert result.exit_code == 3
    assert "there are no records in weighbridge-data" in result.output
