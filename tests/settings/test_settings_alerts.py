"""[alerts] in the settings: read in full, taken over by a reload, and refused with the key named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alerts.messages import ROUTING_KEY, SECRET, TOKEN

from gateway.alerting.plan import BUDGETS, plan_of
from gateway.app import Gateway
from gateway.reloads import secrets_of
from gateway.settings import Settings, SettingsError, load
from gateway.settings.lint import lint
from gateway.settings.problem import Severity

ENVIRON = {"HOOK": SECRET, "KEY": ROUTING_KEY, "SLACK": f"https://hooks.slack.com/services/T/B/{TOKEN}"}
FILE = """
[alerts.channels.ops]
kind = "webhook"
url = "https://hooks.example.com/alerts"
secret_env = "HOOK"

[alerts.channels.pager]
kind = "pagerduty"
routing_key_env = "KEY"

[alerts.channels.chat]
kind = "slack"
url_env = "SLACK"

[[alerts.rule]]
name = "errors"
kind = "error_rate"
above = 0.1
channels = ["ops", "chat"]

[[alerts.rule]]
name = "spend"
kind = "budget"
limit_usd = 500
period = "month"
time_zone = "Europe/Zurich"
thresholds = [0.5, 0.9, 1.0]
group_by = ["team"]
"""


@pytest.fixture(autouse=True)
def _environ(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)


def settings(folder: Path, text: str) -> Settings:
    file = folder / "weighbridge.toml"
    file.write_text(f'[storage]\ndata_dir = "{folder / "data"}"\n{text}')
    return load(file)


def problems(found: Settings, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        plan_of(found, ENVIRON if environ is None else environ)
    return [str(problem) for problem in caught.value.problems]


def test_channels_and_rules_are_read(tmp_path: Path) -> None:
    plan = plan_of(settings(tmp_path, FILE), ENVIRON)
    assert [(post.name, post.channel.name) for post in plan.posts] == [
        ("ops", "webhook"),
        ("pager", "pagerduty"),
        ("chat", "slack"),
    ]
    assert [rule.name for rule in plan.rules] == ["errors", "spend", BUDGETS]
    assert [post.name for post in plan.posts_of(plan.rules[0])] == ["ops", "chat"]
    assert [post.name for post in plan.posts_of(plan.rules[1])] == ["ops", "pager", "chat"]
    assert set(plan.written) == {"errors", "spend", BUDGETS}


def test_the_thresholds_of_budgets_are_told_unless_a_rule_says_how(tmp_path: Path) -> None:
    assert [rule.name for rule in plan_of(Settings(), {}).rules] == [BUDGETS]
    own = '[[alerts.rule]]\nname = "mine"\nkind = "budget"\n'
    assert [rule.name for rule in plan_of(settings(tmp_path, own), {}).rules] == ["mine"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[[alerts.rule]]\nname = "x"\nkind = "budget"\nthresholds = [50, 90]',
            "alerts.rule[0].thresholds[0]: 50 is not usable. Write shares of the limit: 0.5 is 50 %, the most is 10",
        ),
        (
            '[[alerts.rule]]\nname = "x"\nkind = "budget"\nlimit_usd = 5\ntime_zone = "Europe/Zurch"',
            "alerts.rule[0].time_zone: 'Europe/Zurch' is not a time zone this machine knows. "
            'Did you mean Europe/Zurich? Write an IANA name, such as "Europe/Zurich" or "UTC"',
        ),
        (
            FILE + '[[alerts.rule]]\nname = "x"\nkind = "outage"\nchannels = ["chatt"]',
            "alerts.rule[2].channels: 'chatt' is not a channel. Did you mean chat? Channels: ops, pager and chat",
        ),
        (
            '[[alerts.rule]]\nname = "x"\nkind = "outage"\nchannels = ["ops"]',
            "alerts.rule[0].channels: 'ops' is not a channel. Make one: [alerts.channels.NAME]",
        ),
        (
            FILE + '[[alerts.rule]]\nname = "errors"\nkind = "outage"',
            "alerts.rule[2].name: 'errors' is there twice. Give each rule a name of its own",
        ),
        (
            '[alerts.channels.ops]\nkind = "webhook"\nurl = "https://h"\nsecret_env = "SHORT"',
            "alerts.channels.ops.secret_env: names a secret of 12 bytes; 24 are the least. "
            'Make one with: echo "whsec_$(openssl rand -base64 32)"',
        ),
        (
            '[alerts.channels.ops]\nkind = "webhook"\nurl = "https://h"\nsecret_env = "NOT_SET"',
            "alerts.channels.ops.secret_env: names NOT_SET, which is not in the environment. "
            "Set it where the gateway runs",
        ),
        (
            '[alerts.channels."Ops team"]\nkind = "slack"',
            "alerts.channels.Ops team: 'Ops team' can't be a name. "
            "Use lower-case letters, digits, - and _, at most 63",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, expected: str) -> None:
    found = problems(settings(tmp_path, text), {**ENVIRON, "SHORT": "whsec_c2hvcnRzaG9ydHNo"})
    assert found == [expected]


def test_all_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    text = '[alerts.channels.a]\nkind = "x"\n[alerts.channels.b]\nkind = "y"\n[[alerts.rule]]\nname = "z"'
    assert len(problems(settings(tmp_path, text))) == 3


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[[alerts.rules]]\nname = "x"', "alerts.rules: is not a known key. Did you mean rule?"),
        ("[alerts]\nrule = 5", "alerts.rule: 5 is not a list"),
        ("[alerts.channels]\nops = 5", "alerts.channels.ops: is not a table"),
    ],
)
def test_tables_of_the_wrong_shape(tmp_path: Path, text: str, key: str) -> None:
    with pytest.raises(SettingsError, match=key.replace("?", r"\?")):
        settings(tmp_path, text)


def test_a_gateway_does_not_start_with_a_channel_that_cannot_work(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"alerts\.channels\.ops\.kind"):
        Gateway(settings(tmp_path, '[alerts.channels.ops]\nkind = "pigeon"'))


def test_secrets_are_masked_in_the_log_and_shown_nowhere(tmp_path: Path) -> None:
    found = settings(tmp_path, FILE.replace('url_env = "SLACK"', f'url = "{ENVIRON["SLACK"]}"'))
    gateway = Gateway(found)
    assert {SECRET, ROUTING_KEY, ENVIRON["SLACK"]} <= secrets_of(gateway)
    shown = f"{found!r} {gateway.alerts!r}"
    assert not any(secret in shown for secret in (SECRET, ROUTING_KEY, TOKEN))


def warnings(found: Settings) -> dict[str, str]:
    return {
        problem.key: problem.what
        for problem in lint(found, ENVIRON)
        if problem.severity is Severity.WARNING and problem.key.startswith("alerts")
    }


def test_check_warns_of_what_should_not_stay_so(tmp_path: Path) -> None:
    text = """
[alerts.channels.chat]
kind = "slack"
url = "https://hooks.slack.com/services/T/B/x"
[alerts.channels.ops]
kind = "webhook"
url = "http://hooks.example.com/"
secret_env = "HOOK"
"""
    assert warnings(settings(tmp_path, text)) == {
        "alerts.channels.chat.url": "is a secret in the file",
        "alerts.channels.ops.url": "sends alerts over plain http",
    }
    assert warnings(settings(tmp_path, FILE)) == {}
    alone = '[[alerts.rule]]\nname = "x"\nkind = "outage"'
    assert warnings(settings(tmp_path, alone)) == {"alerts.rule": "tells nobody: there is no channel"}


def test_check_names_what_keeps_the_gateway_from_starting(tmp_path: Path) -> None:
    found = settings(tmp_path, '[[alerts.rule]]\nname = "x"\nkind = "outage"\nwindow = "2h"')
    keys: list[Any] = [one.key for one in lint(found, ENVIRON) if one.severity is Severity.ERROR]
    assert keys == ["alerts.rule[0].window"]
