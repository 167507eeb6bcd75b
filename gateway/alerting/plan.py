"""What the settings say of alerts: channels and rules, all of it checked before anything starts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway.settings import Settings
from gateway.settings.problem import Problem, SettingsError, did_you_mean, listed
from telemetry.alerts.channels.contract import Post
from telemetry.alerts.channels.registry import channel_of
from telemetry.alerts.given import Unfit
from telemetry.alerts.kinds.registry import rule_of
from telemetry.alerts.rule import Rule

BUDGETS: Final = "budgets"
BUILT_IN: Final[Mapping[str, Any]] = {"name": BUDGETS, "kind": "budget"}
"""The thresholds of every budget, told to every channel: there unless the settings have a rule for budgets."""


class AlertPlan(msgspec.Struct, frozen=True):
    """Channels and rules of the settings."""

    posts: tuple[Post, ...] = ()
    rules: tuple[Rule[Any], ...] = ()
    written: Mapping[str, Mapping[str, Any]] = {}
    """The rules by name, as they were written."""
    unread: Mapping[str, Problem] = {}
    """Channels that can't be used from here (:func:`look_at`), and why."""

    @property
    def names(self) -> list[str]:
        """Every channel there is."""
        return [*(post.name for post in self.posts), *self.unread]

    def posts_of(self, rule: Rule[Any]) -> list[Post]:
        """Where a rule tells: the channels it names as far as there are any, or all."""
        return [post for post in self.posts if not rule.channels or post.name in rule.channels]

    def secrets(self) -> set[str]:
        """What must not appear anywhere."""
        return {secret for post in self.posts for secret in post.secrets()}

    def check_channels(self, rule: Rule[Any]) -> None:
        """Raises :class:`telemetry.alerts.given.Unfit` for a channel that is not there."""
        for name in rule.channels:
            if name not in self.names:
                raise Unfit("channels", f"{name!r} is not a channel", self.meant(name))

    def meant(self, name: str) -> str:
        """What to do about a channel that is not there."""
        there = f"Channels: {listed(self.names)}" if self.names else "Make one: [alerts.channels.NAME]"
        return did_you_mean(name, self.names) + there


def plan_of(settings: Settings, environ: Mapping[str, str] = os.environ) -> AlertPlan:
    """Raises :class:`SettingsError` with everything that is wrong."""
    alerts = settings.alerts
    return alert_plan(alerts.channels, alerts.rule, environ)


def look_at(settings: Settings, environ: Mapping[str, str] = os.environ) -> AlertPlan:
    """The same for those who send nothing, and may not have the secrets: raises only for what is wrong with rules."""
    posts, problems = _posts(settings.alerts.channels, environ)
    return _with_rules(AlertPlan(tuple(posts), unread=problems), settings.alerts.rule, [])


def alert_plan(
    channels: Mapping[str, Mapping[str, Any]], rules: Sequence[Mapping[str, Any]], environ: Mapping[str, str]
) -> AlertPlan:
    """Raises :class:`SettingsError` with everything that is wrong."""
    posts, problems = _posts(channels, environ)
    # A channel that can't be read is a problem of its own: rules may name it all the same.
    return _with_rules(AlertPlan(tuple(posts), unread=problems), rules, list(problems.values()))


def _posts(
    channels: Mapping[str, Mapping[str, Any]], environ: Mapping[str, str]
) -> tuple[list[Post], dict[str, Problem]]:
    posts, problems = [], {}
    for name, table in channels.items():
        try:
            posts.append(channel_of(name, table, environ))
        except Unfit as unfit:
            problems[name] = _problem(f"alerts.channels.{name}", unfit)
    return posts, problems


def _with_rules(plan: AlertPlan, rules: Sequence[Mapping[str, Any]], problems: list[Problem]) -> AlertPlan:
    made: list[Rule[Any]] = []
    written: dict[str, Mapping[str, Any]] = {}
    for place, table in enumerate(rules):
        try:
            rule = rule_of(table)
            plan.check_channels(rule)
            _unique(rule, made)
        except Unfit as unfit:
            problems.append(_problem(f"alerts.rule[{place}]", unfit))
        else:
            made.append(rule)
            written[rule.name] = table
    if problems:
        raise SettingsError(problems)
    own = any(rule.kind == "budget" and rule.params.limit_nano is None for rule in made)
    if not own and BUDGETS not in written:
        made.append(rule_of(BUILT_IN))
        written[BUDGETS] = BUILT_IN
    return msgspec.structs.replace(plan, rules=tuple(made), written=written)


def _unique(rule: Rule[Any], others: Iterable[Rule[Any]]) -> None:
    if any(other.name == rule.name for other in others):
        raise Unfit("name", f"{rule.name!r} is there twice", "Give each rule a name of its own")


def _problem(table: str, unfit: Unfit) -> Problem:
    return Problem(f"{table}.{unfit.key}" if unfit.key else table, unfit.what, unfit.how)
