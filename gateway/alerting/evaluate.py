"""Evaluating: facts are gathered, rules judge them, and what follows is carried out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from gateway.alerting.plan import AlertPlan
from storage.alerts.book import AlertBook
from storage.alerts.desk import AlertDesk
from telemetry.alerts.facts import AlertFacts, FactsUnavailable
from telemetry.alerts.given import Unfit
from telemetry.alerts.kinds.registry import KINDS, rule_of
from telemetry.alerts.rule import Rule
from telemetry.alerts.silence import Silence
from telemetry.alerts.transition import Fire, Open, Resolve, plan
from telemetry.alerts.verdict import Reason

_logger = logging.getLogger("gateway.alerting")


class Evaluated(msgspec.Struct, frozen=True):
    """What one evaluation came to."""

    fired: int = 0
    resolved: int = 0
    messages: int = 0

    def __add__(self, other: Evaluated) -> Evaluated:
        return Evaluated(
            self.fired + other.fired, self.resolved + other.resolved, self.messages + other.messages
        )


class Evaluator:
    """Remembers when it looked at costly rules last; everything else is in the database.

    ``plan``: the settings as they are now.
    """

    def __init__(self, plan: Callable[[], AlertPlan]) -> None:
        self._plan = plan
        self._looked: dict[str, datetime] = {}

    async def run(self, book: AlertBook, desk: AlertDesk, facts: AlertFacts, now: datetime) -> Evaluated:
        """Evaluate every rule once. Raises :class:`storage.store.StoreUnavailable` and ``FactsUnavailable``."""
        current = self._plan()
        rules = [*current.rules, *await stored_rules(desk, current)]
        opened = await book.opened()
        silences = await book.silences(now)
        done = Evaluated()
        for rule in rules:
            if self._is_due(rule, now):
                mine = [alert for alert in opened if alert.rule == rule.name]
                done += await self._evaluate(rule, current, mine, silences, book, facts, now)
        names = {rule.name for rule in rules}
        self._looked = {name: at for name, at in self._looked.items() if name in names}
        for alert in opened:
            if alert.rule not in names:
                gone = Rule(alert.rule, alert.kind, None)
                messages = await book.carry_out(gone, Resolve(alert, Reason.RULE_GONE), current.posts, now)
                done += Evaluated(resolved=1, messages=messages)
        return done

    def _is_due(self, rule: Rule[Any], now: datetime) -> bool:
        last = self._looked.get(rule.name)
        pause = timedelta(seconds=KINDS[rule.kind].every_s)
        if last is not None and timedelta() <= now - last < pause:
            return False
        self._looked[rule.name] = now
        return True

    async def _evaluate(
        self,
        rule: Rule[Any],
        current: AlertPlan,
        opened: Sequence[Open],
        silences: Sequence[Silence],
        book: AlertBook,
        facts: AlertFacts,
        now: datetime,
    ) -> Evaluated:
        kind = KINDS[rule.kind]
        try:
            cases = await kind.gather(rule, facts, now)
            judged = [(case.subject, kind.evaluate(rule, case.fact, now)) for case in cases]
        except FactsUnavailable:
            raise
        except Exception as error:  # a job: the other rules must be evaluated
            _logger.warning("rule %s could not be evaluated: %s", rule.name, type(error).__name__)
            return Evaluated()
        done = Evaluated()
        for action in plan(rule, judged, {alert.slot: alert for alert in opened}, silences, now):
            messages = await book.carry_out(rule, action, current.posts_of(rule), now)
            done += Evaluated(isinstance(action, Fire), isinstance(action, Resolve), messages)
        return done


async def stored_rules(desk: AlertDesk, current: AlertPlan) -> list[Rule[Any]]:
    """Rules that were made by hand, those that are switched off and those of the settings' names left out."""
    taken = {rule.name for rule in current.rules}
    found = []
    for row in await desk.rules():
        if not row.enabled or row.name in taken:
            continue
        try:
            found.append(rule_of({**row.spec, "name": row.name}))
        except Unfit as unfit:  # of another version
            _logger.warning("stored rule %s is left out: %s", row.name, unfit)
    return found
