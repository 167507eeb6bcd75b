"""docs/alerts.md says what the code does: kinds, keys, defaults, fates and the schedule."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from alerts.messages import ROUTING_KEY, SECRET

from gateway.alerting.jobs import DELIVER_S, EVALUATE_S
from gateway.alerting.plan import plan_of
from gateway.alerting.run import KEPT
from gateway.api.alert_rules import AlertRules
from gateway.api.alerts import Alerts
from gateway.settings import load
from storage.alerts.outbox import WAITING
from telemetry.alerts.channels.contract import TIMEOUT_S, Environ
from telemetry.alerts.channels.registry import CHANNELS
from telemetry.alerts.channels.retry import GONE, HOPELESS, SCHEDULE_S
from telemetry.alerts.channels.webhook import LEAST_BYTES
from telemetry.alerts.facts import MOST_GROUPS
from telemetry.alerts.given import Given
from telemetry.alerts.kinds.registry import KINDS
from telemetry.alerts.labels import DIMENSIONS
from telemetry.alerts.words import seconds

TEXT = (Path(__file__).parent.parent / "docs" / "alerts.md").read_text(encoding="utf-8")
NEEDED: dict[str, dict[str, Any]] = {"latency": {"above": 1}, "ttft": {"above": 1}}


def rows(heading: str) -> dict[str, str]:
    """A table by its first column."""
    table = TEXT.partition(heading)[2].partition("\n\n")[0]
    return {
        line.split("|")[1].strip().strip("`"): line for line in table.splitlines() if line.startswith("|")
    }


def test_the_example_can_be_used(tmp_path: Path) -> None:
    file = tmp_path / "weighbridge.toml"
    file.write_text(TEXT.partition("```toml\n")[2].partition("```")[0])
    plan = plan_of(load(file), {"OPS_WEBHOOK_SECRET": SECRET, "PAGERDUTY_KEY": ROUTING_KEY})
    assert [post.name for post in plan.posts] == ["ops", "pager"]
    assert [rule.name for rule in plan.rules] == ["errors", "openai-down", "budgets"]


def test_kinds_and_their_keys() -> None:
    table = rows("| kind | fires when | keys, with their defaults |\n| --- | --- | --- |\n")
    assert set(table) == set(KINDS)
    for name, line in table.items():
        given = Given(NEEDED.get(name, {}))
        KINDS[name].read(given)
        told = set(re.findall(r"`([a-z_]+)`", line.rpartition(" | ")[2])) - {"linear", "seasonal"}
        assert told == set(given.known) - {"scope", "group_by"}, name
        written = {
            key: value.strip('"`')
            for key, value in re.findall(r'`(\w+)` = (`"[^"]+"`|[\d.]+)', line)
            if key not in ("period", "time_zone")
        }
        # Given as they are told, the defaults change nothing.
        typed = {key: value if re.search("[a-z]", value) else float(value) for key, value in written.items()}
        typed = {key: int(v) if v == int(v) else v for key, v in typed.items() if isinstance(v, float)} | {
            key: v for key, v in typed.items() if isinstance(v, str)
        }
        assert KINDS[name].read(Given({**NEEDED.get(name, {}), **typed})) == KINDS[name].read(
            Given(NEEDED.get(name, {}))
        ), name


def test_channels_and_their_keys() -> None:
    table = rows("| kind | sends to | keys |\n| --- | --- | --- |\n")
    assert set(table) == set(CHANNELS)
    environ = Environ({"S": SECRET, "K": ROUTING_KEY, "U": "https://h/"})
    examples: dict[str, dict[str, Any]] = {
        "webhook": {"url_env": "U", "secret_env": "S"},
        "slack": {"url_env": "U"},
        "teams": {"url_env": "U"},
        "pagerduty": {"routing_key_env": "K"},
        "email": {"host": "h", "from": "a@b.c", "to": "d@e.f"},
        "apprise": {"url_env": "U"},
    }
    for name, line in table.items():
        given = Given(examples[name])
        CHANNELS[name].read(given, environ)
        told = set(re.findall(r"`([a-z_]+)`", line.rpartition(" | ")[2]))
        choices = {"weighbridge", "alertmanager", "starttls", "tls", "none"}
        # Where the URL is the secret, url is not recommended.
        assert told - choices == set(given.known) - (
            {"url"} if name in ("slack", "teams") else {"url_env"} if name == "pagerduty" else set()
        ), name
    assert f"`timeout` = {TIMEOUT_S}" in TEXT


def test_dimensions() -> None:
    told = TEXT.partition("Dimensions: ")[2].partition("(the one")[0]
    assert re.findall(r"`(\w+)`", told) == list(DIMENSIONS)
    assert f"of the {MOST_GROUPS} with most calls" in TEXT


def test_fates_and_the_schedule() -> None:
    table = rows("| answer | |\n| --- | --- |\n")
    hopeless = next(key for key, line in table.items() if "given up: the next" in line)
    assert {int(code) for code in hopeless.split(", ")} == HOPELESS
    assert str(GONE) in table
    assert f"wait for {WAITING.days} days" in table[str(GONE)]
    schedule = TEXT.partition("| after the one before | at once |")[2].partition("\n")[0]
    told = [cell.strip() for cell in schedule.strip(" |").split("|")]
    assert told == [seconds(pause).replace("1 d", "24 h") for pause in SCHEDULE_S]
    assert f"forgotten after {KEPT.days} days" in TEXT
    assert f"at least {LEAST_BYTES} bytes" in TEXT


def test_figures() -> None:
    assert f"every {EVALUATE_S:g} s" in TEXT
    assert re.search(rf"leave within\n?\s*{DELIVER_S:g} s", TEXT)


def test_every_endpoint_is_named() -> None:
    told = TEXT.partition("## API")[2].replace("\n", " ")
    endpoints = [*Alerts(None).endpoints(), *AlertRules(None).endpoints()]  # type: ignore[arg-type]
    assert all(endpoint.path in told for endpoint in endpoints)
    assert {path.rstrip(",.:`") for path in re.findall(r"/api/[a-z/{}]+", told)} == {
        endpoint.path for endpoint in endpoints
    }
    public = told.partition("everything else")[0]
    assert all((endpoint.path in public) or endpoint.admin for endpoint in endpoints)
