"""``weighbridge costs``: what was spent, in words and as the API has it, and errors that say what to write."""

from __future__ import annotations

import json
import time
from typing import Any

from rig.ledger import record

from gateway.cli.exits import Exit
from pricing.cost import UNPRICED, Cost, CostSource, CostStatus
from pricing.usage import Usage
from telemetry.record import CallRecord

from .conftest import Weighbridge, put_records

DAY_MS = 86_400_000


def call(days_ago: int, nano: int, team: str | None, estimated: bool = False, **parts: Any) -> CallRecord:
    status = CostStatus.ESTIMATED if estimated else CostStatus.PRICED
    cost = Cost(status, CostSource.CATALOGUE, nano, nano, 0, 0, 0, 0) if nano else UNPRICED
    ms = int(time.time() * 1000) - days_ago * DAY_MS - 1000
    return record(ms=ms, who={"team": team}, **{"cost": cost, **parts})


def spent() -> None:
    put_records(
        call(0, 3_000_000_000, "search"),
        call(1, 1_500_000_000, "ops", estimated=True),
        call(2, 400_000_000, None),
        call(2, 100_000_000, "sales"),
        call(3, 0, "ops"),
        call(9, 2_500_000_000, "ops"),
    )


def test_what_teams_spent(weighbridge: Weighbridge) -> None:
    spent()
    result = weighbridge("costs", "--period", "7d", "--by", "team", "-n", "2")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert lines[0].endswith("· UTC")
    assert lines[2].split() == ["TEAM", "CALLS", "INPUT", "OUTPUT", "COST", "SHARE", "CHANGE"]
    cells = [line.split() for line in lines[3:7]]
    assert [(row[0], row[-4:]) for row in cells[:2]] == [
        ("search", ["$3.00", "60", "%", "–"]),
        ("ops", ["30", "%", "-40", "%"]),
    ]
    assert cells[1][-5] == "~$1.50"
    assert cells[2][:3] == ["2", "more", "2"]
    assert cells[3][0] == "all"
    assert cells[3][-3:] == ["~$5.00", "+100", "%"]
    assert "~ $1.50 of it estimated (1 call)" in lines
    assert "Not in it: 1 call whose cost is not known ('weighbridge prices unpriced')" in lines
    assert any(line.startswith("By 20") and "this month will have cost" in line for line in lines)


def test_what_later_prices_change_is_told_beside_the_recorded_cost(weighbridge: Weighbridge) -> None:
    def of_model(name: str, days_ago: int, nano: int, team: str) -> CallRecord:
        model = {"model": name}
        return call(
            days_ago, nano, team, what=model, answer=model, usage=Usage(1_000_000, 0)
        )  # gpt-4o: $2.50

    put_records(
        of_model("gpt-4o", 0, 3_000_000_000, "search"),
        of_model("gpt-4o", 1, 0, "ops"),
        of_model("made-up-9", 2, 0, "ops"),
        of_model("made-up-9", 2, 1_000_000_000, "sales"),
    )
    before = weighbridge("costs", "--period", "7d", "--by", "team").output
    assert "LATER" not in before
    assert "Not in it: 2 calls whose cost is not known ('weighbridge prices unpriced')" in before
    done = weighbridge("prices", "reprice")
    assert done.exit_code == 0, done.output
    result = weighbridge("costs", "--period", "7d", "--by", "team")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    cells = {line.split()[0]: line.split() for line in lines[3:7]}
    assert lines[2].split()[4:6] == ["COST", "LATER"]
    assert [cells["search"][4], cells["ops"][4], cells["all"][4]] == ["$3.00", "–", "$4.00"]
    assert [cells["search"][5], cells["ops"][5], cells["all"][5]] == ["-$0.50", "+$2.50", "+$2.00"]
    assert cells["sales"][5:] == ["25", "%", "–"], "what has no price now costs what was recorded"
    told = " ".join(result.output.split())
    assert "Not in it: 2 calls recorded without a known cost, of which 1 has one by later prices" in told
    assert "(for the others: 'weighbridge prices unpriced')" in told
    assert "LATER: what later prices add to the cost of 2 calls ('weighbridge prices reprice')" in told
    assert "LATER" not in weighbridge("costs", "--period", "7d", "--team", "sales").output


def test_the_json_is_that_of_the_api(weighbridge: Weighbridge) -> None:
    spent()
    found = json.loads(
        weighbridge("costs", "--since", "5d", "--by", "team,model", "--team", "ops", "--json").output
    )
    assert (found["total"]["cost"]["nano_usd"], found["total"]["calls"]) == (1_500_000_000, 2)
    assert [one["key"]["team"] for one in found["groups"]] == ["ops"]
    several = weighbridge("costs", "-p", "7d", "--team", "ops", "--team", "", "--json")
    assert json.loads(several.output)["total"]["cost"]["nano_usd"] == 1_900_000_000


def test_this_month_begins_on_its_first_day(weighbridge: Weighbridge) -> None:
    spent()
    found = json.loads(weighbridge("costs", "--period", "month", "--tz", "Asia/Kathmandu", "--json").output)
    assert found["period"]["since"].endswith("-01T00:00:00+05:45")
    assert found["total"]["cost"]["nano_usd"] >= 0


def test_nothing_was_spent(weighbridge: Weighbridge) -> None:
    assert weighbridge("costs").exit_code == Exit.UNREACHABLE
    spent()
    result = weighbridge("costs", "--team", "nobody")
    assert (result.exit_code, result.output.splitlines()[-1]) == (0, "No calls.")


def test_what_cannot_be_asked_is_named_as_the_option(weighbridge: Weighbridge) -> None:
    spent()
    for arguments, told in (
        (("--by", "colour"), "--by 'colour' is not allowed."),
        (("--by", "team,model,user"), "--by"),
        (("--tz", "Europe/Berlinn"), "Did you mean"),
        (("--model", "gpt-9"), "--model 'gpt-9' is not allowed."),
        (("--since", "soon"), "'--since': 'soon' is not"),
        (("--period", "month", "--since", "1d"), "--period month"),
        (("--period", "7d", "--since", "1d"), "--period 7d ends now"),
    ):
        result = weighbridge("costs", *arguments)
        assert result.exit_code == Exit.USAGE, arguments
        assert told in result.output, (arguments, result.output)
        assert "Traceback" not in result.output
