"""``/api/alerts/rules``, ``/silences`` and ``/channels``: what is watched, who is told, and what is kept back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import Any, Final

from aiohttp import web

from gateway.api.alert_models import (
    ChannelOut,
    ChannelsOut,
    DoneOut,
    RuleIn,
    RuleOut,
    RulesOut,
    SilenceIn,
    SilenceOut,
    SilencesOut,
    silence_out,
)
from gateway.api.alerts import AlertsDeps
from gateway.api.body import body_of
from gateway.api.problems import ApiError, json_response
from gateway.api.routes import Endpoint
from gateway.api.viewer import viewer_of
from storage.mend import storable
from telemetry.alerts.given import Unfit
from telemetry.alerts.kinds.registry import KINDS, rule_of
from telemetry.alerts.labels import DIMENSIONS
from telemetry.alerts.message import moment

LONGEST_SILENCE: Final = timedelta(days=366)
MOST_RULES: Final = 200
"""Stored ones: each is evaluated every few seconds."""
_CHANGE: Final = (400, 401, 403, 404, 409, 413, 503)


class AlertRules:
    """Handlers over the desk."""

    def __init__(self, deps: AlertsDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        rule, silences, channel = "/api/alerts/rules/{name}", "/api/alerts/silences", "/api/alerts/channels"
        return (
            Endpoint("/api/alerts/rules", self.rules, "Rules", RulesOut, errors=(401, 403, 503)),
            _changing("PUT", rule, self.put_rule, "Make a rule, or change it", RuleOut, RuleIn),
            _changing("DELETE", rule, self.drop_rule, "Forget a rule; its alerts end", DoneOut),
            Endpoint(
                silences,
                self.silences,
                "Silences that are not over",
                SilencesOut,
                errors=(401, 403, 503),
                admin=True,
            ),
            _changing("POST", silences, self.silence, "Keep back what matches", SilenceOut, SilenceIn),
            _changing("DELETE", f"{silences}/{{id}}", self.end_silence, "End a silence", DoneOut),
            Endpoint(channel, self.channels, "Channels", ChannelsOut, errors=(401, 403, 503), admin=True),
            _changing("POST", f"{channel}/{{name}}/enable", self.enable, "Send to a channel again", DoneOut),
        )

    async def rules(self, request: web.Request) -> web.Response:
        """Rules of the settings and stored ones, as far as they are the viewer's."""
        scope = viewer_of(request).scope
        items = await rules_of(self._deps)
        return json_response(RulesOut(items=[rule for rule in items if _is_within(rule.spec, scope)]))

    async def put_rule(self, request: web.Request) -> web.Response:
        """Store a rule."""
        name, said = storable(request.match_info["name"]), await body_of(request, RuleIn)
        self.check_rule(name, said.spec())
        stored = {row.name for row in await self._deps.desk.rules()}
        if name not in stored and len(stored) >= MOST_RULES:
            raise ApiError(409, "too_many_rules", f"There are {MOST_RULES} stored rules; drop one first.")
        who = viewer_of(request).name
        await self._deps.desk.put_rule(name, said.spec(), said.enabled, who, self._deps.now())
        kind = KINDS[said.kind]
        return json_response(
            RuleOut(
                name=name,
                kind=kind.name,
                about=kind.about,
                source="stored",
                enabled=said.enabled,
                spec=said.spec(),
            )
        )

    def check_rule(self, name: str, spec: Mapping[str, Any]) -> None:
        """Raises :class:`ApiError` 400 naming the key, or 409 for a rule of the settings."""
        plan = self._deps.plan()
        if name in plan.written:
            raise ApiError(
                409, "rule_of_settings", f"{name} is a rule of the settings: change it there.", param="name"
            )
        try:
            plan.check_channels(rule_of({**spec, "name": name}))
        except Unfit as unfit:
            message = f"{unfit.key}: {unfit.what}. {unfit.how}."
            raise ApiError(400, "invalid_rule", message, param=unfit.key) from None

    async def drop_rule(self, request: web.Request) -> web.Response:
        """Forget a stored rule."""
        name = storable(request.match_info["name"])
        if name in self._deps.plan().written:
            raise ApiError(409, "rule_of_settings", f"{name} is a rule of the settings: take it out there.")
        if not await self._deps.desk.drop_rule(name):
            raise ApiError(404, "rule_not_found", f"There is no stored rule {name[:64]!r}.")
        return json_response(DoneOut(id=name, done="It is forgotten; its alerts end within seconds."))

    async def silences(self, request: web.Request) -> web.Response:
        """Silences that hold, newest first."""
        found = await self._deps.desk.silences(self._deps.now())
        return json_response(SilencesOut(items=[silence_out(one) for one in found]))

    async def silence(self, request: web.Request) -> web.Response:
        """Make a silence."""
        said, now = await body_of(request, SilenceIn), self._deps.now()
        until = said.until if said.until.tzinfo else said.until.replace(tzinfo=UTC)
        if not now < until <= now + LONGEST_SILENCE:
            message = "until: it must be in the future, and within a year."
            raise ApiError(400, "invalid_body", message, param="until")
        check_matchers(said.matchers)
        matchers = [(name, storable(value)) for name, value in said.matchers.items()]
        who = storable(said.who or viewer_of(request).name)
        made = await self._deps.desk.silence(matchers, until, who, storable(said.why), now)
        return json_response(silence_out(made))

    async def end_silence(self, request: web.Request) -> web.Response:
        """End a silence early."""
        silence_id = storable(request.match_info["id"])
        if not await self._deps.desk.end_silence(silence_id, self._deps.now()):
            raise ApiError(404, "silence_not_found", f"There is no silence {silence_id[:64]!r} that holds.")
        return json_response(DoneOut(id=silence_id, done="It is over; what still fires is told."))

    async def channels(self, request: web.Request) -> web.Response:
        """Channels of the settings."""
        return json_response(ChannelsOut(items=await channels_of(self._deps)))

    async def enable(self, request: web.Request) -> web.Response:
        """Forget that a receiver was gone."""
        name = self._deps.post(request.match_info["name"]).name
        if not await self._deps.outbox.enable(name):
            raise ApiError(409, "not_disabled", f"Channel {name} is not disabled.")
        return json_response(DoneOut(id=name, done="What waited for it is sent within seconds."))


def _changing(method: str, path: str, handler: Any, summary: str, answer: Any, body: Any = None) -> Endpoint:
    return Endpoint(path, handler, summary, answer, errors=_CHANGE, method=method, body=body, admin=True)


def check_matchers(matchers: Mapping[str, str]) -> None:
    """Raises :class:`ApiError` 400 for a name that no alert has."""
    known = ("rule", "kind", "level", "severity", "budget", *DIMENSIONS)
    for name in matchers:
        if name not in known and not name.startswith("tag:"):
            message = f"matchers: {name[:64]!r} is not a label. Labels: {', '.join(known)}."
            raise ApiError(400, "invalid_body", message, param="matchers", allowed=list(known))


async def rules_of(deps: AlertsDeps) -> list[RuleOut]:
    """Every rule, those of the settings first."""
    plan = deps.plan()
    found = [
        RuleOut(
            name=rule.name,
            kind=rule.kind,
            about=KINDS[rule.kind].about,
            source="settings",
            enabled=True,
            spec=_without_name(plan.written[rule.name]),
        )
        for rule in plan.rules
    ]
    for row in await deps.desk.rules():
        kind = KINDS.get(str(row.spec.get("kind")))
        found.append(
            RuleOut(
                name=row.name,
                kind=str(row.spec.get("kind")),
                about=kind.about if kind else "",
                source="stored",
                enabled=row.enabled,
                spec=row.spec,
                problem=_problem(row.name, row.spec, plan.written),
            )
        )
    return found


def _problem(name: str, spec: Mapping[str, Any], written: Mapping[str, Any]) -> str | None:
    if name in written:
        return "the settings have a rule of that name"
    try:
        rule_of({**spec, "name": name})
    except Unfit as unfit:
        return str(unfit)
    return None


async def channels_of(deps: AlertsDeps) -> list[ChannelOut]:
    """Every channel, and whether its receiver is gone."""
    gone = {row.name: row for row in await deps.desk.disabled()}
    return [
        ChannelOut(
            name=post.name,
            kind=post.channel.name,
            about=post.channel.about,
            send_resolved=post.send_resolved,
            disabled_at=moment(gone[post.name].disabled_at)
            if post.name in gone and gone[post.name].target == post.fingerprint
            else None,
        )
        for post in deps.plan().posts
    ]


def _without_name(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key != "name"}


def _is_within(spec: Mapping[str, Any], scope: Mapping[str, str]) -> bool:
    """Is the rule about nothing but what the viewer may see?"""
    said = spec.get("scope")
    own = {DIMENSIONS.get(name): value for name, value in said.items()} if isinstance(said, Mapping) else {}
    return all(own.get(column) == value for column, value in scope.items())
