"""``weighbridge alerts``: what people type, what they see, and what they are told when it can't be."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from alerts.facts import calls, rule
from alerts.messages import SECRET
from alerts.office import Office, hook
from rig.migrated import with_tables

from .conftest import Weighbridge

DATA = Path("weighbridge-data")
SETTINGS = """
[alerts.channels.ops]
kind = "webhook"
url = "{url}"
secret_env = "OPS_SECRET"
allow_private = true

[[alerts.rule]]
name = "error-rate"
kind = "error_rate"
group_by = ["team"]
"""


class Receiver(BaseHTTPRequestHandler):
    """Answers what its server is told to."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append(self.headers["webhook-id"])  # type: ignore[attr-defined]
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Any]:
    server: Any = HTTPServer(("127.0.0.1", 0), Receiver)
    server.status, server.seen = 204, []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch, _folder: None) -> None:
    monkeypatch.setenv("OPS_SECRET", SECRET)
    monkeypatch.setenv("USER", "ada")
    monkeypatch.delenv("SUDO_USER", raising=False)
    Path("weighbridge.toml").write_text(SETTINGS.format(url="http://127.0.0.1:9/hook"))


@pytest.fixture
def database(_settings: None) -> None:
    """Of the working directory, with our tables."""
    with_tables(DATA)


@pytest.fixture
def fired(database: None) -> None:
    """An alert of team search that fires, and one of team ads that is over; the first was told."""

    async def fire() -> None:
        office = Office(
            f"sqlite:///{DATA}/weighbridge.db",
            DATA,
            [rule("error_rate", group_by=["team"])],
            [hook("http://127.0.0.1:9/")],
        )
        office.now = datetime.now(UTC)
        search, ads = (("team", "search"),), (("team", "ads"),)
        office.facts.call_facts = [calls(50, labels=search), calls(80, labels=ads)]
        await office.evaluate()
        office.facts.call_facts = [calls(50, labels=search), calls(0, labels=ads)]
        await office.evaluate()
        await office.deliver()
        await office.close()

    asyncio.run(fire())


def lines(weighbridge: Weighbridge, *arguments: str) -> list[Any]:
    result = weighbridge("alerts", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.output.splitlines()]


def said(weighbridge: Weighbridge, *arguments: str, code: int = 0) -> str:
    result = weighbridge("alerts", *arguments)
    assert result.exit_code == code, result.output
    return result.output


def test_what_fires_is_listed(weighbridge: Weighbridge, fired: None) -> None:
    shown = said(weighbridge, "list")
    assert "50 % of calls of team search failed in 10 min: 50 of 100 (limit 5 %)" in shown
    assert "ads" not in shown
    assert "ads" in said(weighbridge, "list", "--all")
    assert [one["state"] for one in lines(weighbridge, "list", "--all")].count("resolved") == 1
    assert lines(weighbridge, "list", "--rule", "none") == []


def test_one_alert_is_shown_with_its_messages(weighbridge: Weighbridge, fired: None) -> None:
    (alert,) = lines(weighbridge, "list")
    shown = said(weighbridge, "show", alert["id"][:8])
    for part in (
        "error-rate (error_rate)  firing  warning",
        "team = search",
        "told 1 time",
        "ops",
        "not reachable",
    ):
        assert part in shown
    wrong = said(weighbridge, "show", "zzz", code=1)
    assert "there is no alert zzz" in wrong
    assert "'weighbridge alerts list --all' shows what there is" in wrong
    assert "several alerts begin with" in said(weighbridge, "show", "", code=1)


def test_messages_are_listed_and_sent_again(weighbridge: Weighbridge, fired: None) -> None:
    found = lines(weighbridge, "deliveries")
    assert sorted(one["event"] for one in found) == ["firing", "firing", "resolved"]
    assert {one["state"] for one in found} == {"pending"}
    assert lines(weighbridge, "deliveries", "--state", "sent") == []
    assert "not reachable" in said(weighbridge, "deliveries", "--channel", "ops")
    tried = next(one for one in found if one["tries"])
    assert "goes to ops again" in said(weighbridge, "redeliver", tried["id"])
    again = next(one for one in lines(weighbridge, "deliveries") if one["id"] == tried["id"])
    assert again["due_at"] <= f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    assert "there is no message msg_zzz" in said(weighbridge, "redeliver", "msg_zzz", code=1)


def test_a_channel_is_tried_out_at_once(weighbridge: Weighbridge, receiver: Any) -> None:
    url = f"http://127.0.0.1:{receiver.server_port}/"
    Path("weighbridge.toml").write_text(SETTINGS.format(url=url))
    assert "ok  ops took it (204, " in said(weighbridge, "test", "ops")
    assert len(receiver.seen) == 1
    receiver.status = 503
    refused = said(weighbridge, "test", "ops", code=1)
    assert "ops did not take it (503, " in refused
    assert "The answer came from the receiver: look there" in refused
    Path("weighbridge.toml").write_text(SETTINGS.format(url=url).replace("allow_private = true", ""))
    private = said(weighbridge, "test", "ops", code=1)
    assert "set allow_private = true if it is meant to be in your network" in private
    wrong = said(weighbridge, "test", "opps", code=2)
    assert "Did you mean ops? Channels: ops" in wrong


def test_looking_needs_no_secrets_and_trying_out_does(
    weighbridge: Weighbridge, fired: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPS_SECRET")
    assert "search" in said(weighbridge, "list")
    assert "can't be used from here: names OPS_SECRET" in said(weighbridge, "channels")
    said(weighbridge, "silence", "team=search", "--why", "test")
    wrong = said(weighbridge, "test", "ops", code=2)
    assert "alerts.channels.ops.secret_env: names OPS_SECRET, which is not in the environment" in wrong


def test_silences(weighbridge: Weighbridge, database: None) -> None:
    made = said(weighbridge, "silence", "team=search", "rule=*", "--for", "30m", "--why", "migration")
    assert "keeps back team=search rule=* until" in made
    silence_id = made.split()[1]
    shown = said(weighbridge, "silences")
    assert all(part in shown for part in (silence_id, "ada", "migration"))
    assert "is over" in said(weighbridge, "silence", "--end", silence_id)
    assert "that holds" in said(weighbridge, "silence", "--end", silence_id, code=1)
    assert said(weighbridge, "silences") == "No silences.\n"
    assert "(over)" in said(weighbridge, "silences", "--all")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--why", "x"), "no NAME=VALUE says what to keep back"),
        (("team=search",), "--why is missing"),
        (("team", "--why", "x"), "team is no NAME=VALUE"),
        (("teem=search", "--why", "x"), "'teem' is not a label. Labels: rule,"),
        (("team=search", "--why", "x", "--for", "5x"), "--for: '5x' is not usable"),
        (("team=search", "--end", "x"), "--end takes no matchers"),
    ],
)
def test_silences_that_make_no_sense(
    weighbridge: Weighbridge, database: None, arguments: tuple[str, ...], expected: str
) -> None:
    assert expected in said(weighbridge, "silence", *arguments, code=2)


def test_rules_are_made_and_dropped(weighbridge: Weighbridge, database: None) -> None:
    keys = ("above=1.5", "window=15m", "scope.team=search", 'channels=["ops"]')
    assert "Rule late is made: streams begin too late." in said(
        weighbridge, "rules", "add", "late", "ttft", *keys
    )
    assert "Rule late is changed" in said(weighbridge, "rules", "add", "late", "ttft", "above=2", "--off")
    shown = said(weighbridge, "rules")
    assert "above=2" in shown
    assert "stored, switched off" in shown
    assert 'group_by=["team"]' in shown
    assert "Rule late is forgotten." in said(weighbridge, "rules", "drop", "late")
    assert "there is no stored rule late" in said(weighbridge, "rules", "drop", "late", code=1)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("late", "ttft", "abov=1"), "above: is missing. Did you mean it by abov? Write seconds"),
        (
            ("late", "tttf", "above=1"),
            "kind: 'tttf' is not a kind of rule. Did you mean ttft? Choose budget, ",
        ),
        (("late", "ttft", "above=1", "channels=opps"), "'opps' is not a channel. Did you mean ops?"),
        (("error-rate", "ttft", "above=1"), "error-rate is a rule of the settings: change it there."),
    ],
)
def test_rules_that_cannot_work(
    weighbridge: Weighbridge, database: None, arguments: tuple[str, ...], expected: str
) -> None:
    assert expected in said(
        weighbridge, "rules", "add", *arguments, code=1 if "change it there" in expected else 2
    )


def test_where_there_is_nothing_to_judge_nothing_is_said_of_calls(
    weighbridge: Weighbridge, database: None
) -> None:
    Path("weighbridge.toml").write_text('[[alerts.rule]]\nname = "money"\nkind = "budget"\n')
    assert (
        said(weighbridge, "evaluate")
        == "Nothing to judge for money: no budget, and no calls, of the kind asked for.\n"
    )


def test_what_every_rule_finds_now(weighbridge: Weighbridge, database: None) -> None:
    said(weighbridge, "rules", "add", "no-price", "unpriced")
    said(weighbridge, "rules", "add", "misspelt", "budget", "budget=serch")
    shown = said(weighbridge, "evaluate")
    assert "no-price  quiet    below" in shown
    assert "0 calls without a known cost" in shown
    idle = shown.splitlines()[-1]
    assert idle.startswith("Nothing to judge for ")
    assert "misspelt" in idle
    assert "no-price" not in idle
    assert lines(weighbridge, "list", "--all") == []


def test_a_channel_that_was_not_disabled_is_not_enabled(weighbridge: Weighbridge, database: None) -> None:
    assert "ops is not disabled" in said(weighbridge, "enable", "ops", code=1)
    assert "opps is not a channel" in said(weighbridge, "enable", "opps", code=2)
    assert "an HTTP endpoint of yours, signed  ok" in said(weighbridge, "channels")


def test_without_a_database(weighbridge: Weighbridge) -> None:
    shown = said(weighbridge, "list", code=3)
    assert "there are no records in weighbridge-data" in shown


def test_with_settings_that_can_not_be_used(weighbridge: Weighbridge) -> None:
    Path("weighbridge.toml").write_text('[[alerts.rule]]\nname = "x"\nkind = "y"\n')
    assert "alerts.rule[0].kind: 'y' is not a kind of rule" in said(weighbridge, "list", code=2)
