"""``/api/alerts``: what fires and what has, and the messages about it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from aiohttp import web

from gateway.alerting.plan import AlertPlan
from gateway.alerting.trial import trial
from gateway.api.alert_models import (
    AlertOut,
    AlertsOut,
    AlertsQuery,
    DeliveriesOut,
    DeliveriesQuery,
    DoneOut,
    TestIn,
    alert_out,
    delivery_out,
)
from gateway.api.body import body_of
from gateway.api.parameters import parse_query
from gateway.api.problems import ApiError, json_response
from gateway.api.routes import Endpoint
from gateway.api.viewer import viewer_of
from storage.address import parse
from storage.alerts.database import AlertDatabase
from storage.alerts.desk import AlertDesk
from storage.alerts.outbox import Outbox
from storage.mend import storable
from telemetry.alerts.channels.contract import Post


class AlertsDeps(msgspec.Struct, frozen=True):
    """What the endpoints of alerts need."""

    desk: AlertDesk
    outbox: Outbox
    plan: Callable[[], AlertPlan]
    """The settings as they are now."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    async def close(self) -> None:
        """Close every connection."""
        await self.desk.close()

    def post(self, name: str) -> Post:
        """A channel of the settings. Raises :class:`ApiError` 404."""
        posts = {post.name: post for post in self.plan().posts}
        if name in posts:
            return posts[name]
        message = f"There is no channel {name[:64]!r}. {self.plan().meant(name)}."
        raise ApiError(404, "channel_not_found", message)


def open_alerts(url: str | None, data_dir: Path, plan: Callable[[], AlertPlan]) -> AlertsDeps:
    """On the database of ``storage.url``. Connects when first asked something."""
    database = AlertDatabase(parse(url, data_dir))
    return AlertsDeps(AlertDesk(database), Outbox(database), plan)


class Alerts:
    """Handlers over the desk and the outbox."""

    def __init__(self, deps: AlertsDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        read, change = (400, 401, 403, 503), (400, 401, 403, 404, 413, 503)
        return (
            Endpoint(
                "/api/alerts", self.listing, "Alerts, newest first", AlertsOut, AlertsQuery, errors=read
            ),
            Endpoint(
                "/api/alerts/deliveries",
                self.deliveries,
                "Messages and every try to send them, newest first",
                DeliveriesOut,
                DeliveriesQuery,
                errors=read,
            ),
            Endpoint(
                "/api/alerts/deliveries/{id}/redeliver",
                self.redeliver,
                "Send a message once more, under the same id",
                DoneOut,
                errors=change,
                method="POST",
                status=202,
                admin=True,
            ),
            Endpoint(
                "/api/alerts/test",
                self.test,
                "Send a channel a message for trying it out",
                DoneOut,
                errors=change,
                method="POST",
                body=TestIn,
                status=202,
                admin=True,
            ),
            Endpoint("/api/alerts/{id}", self.one, "One alert", AlertOut, errors=(401, 403, 404, 503)),
        )

    async def listing(self, request: web.Request) -> web.Response:
        """A page of alerts."""
        query = parse_query(request.query, AlertsQuery)
        page = await self._deps.desk.alerts(
            viewer_of(request).scope,
            state=query.state,
            rule=query.rule,
            cursor=query.cursor,
            limit=query.limit,
        )
        return json_response(
            AlertsOut(items=[alert_out(row) for row in page.items], next_cursor=page.next_cursor)
        )

    async def one(self, request: web.Request) -> web.Response:
        """One alert by id."""
        alert_id = storable(request.match_info["id"])
        row = await self._deps.desk.alert(alert_id, viewer_of(request).scope)
        if row is None:
            raise ApiError(404, "alert_not_found", f"There is no alert {alert_id[:64]}.")
        return json_response(alert_out(row))

    async def deliveries(self, request: web.Request) -> web.Response:
        """A page of messages."""
        query = parse_query(request.query, DeliveriesQuery)
        page = await self._deps.desk.deliveries(
            viewer_of(request).scope,
            alert=query.alert,
            state=query.state,
            channel=query.channel,
            cursor=query.cursor,
            limit=query.limit,
        )
        tries = await self._deps.desk.tries([row.id for row in page.items])
        items = [delivery_out(row, tries[row.id]) for row in page.items]
        return json_response(DeliveriesOut(items=items, next_cursor=page.next_cursor))

    async def redeliver(self, request: web.Request) -> web.Response:
        """Put a message back to the beginning of its schedule."""
        delivery_id = storable(request.match_info["id"])
        if not await self._deps.outbox.again(delivery_id, self._deps.now()):
            raise ApiError(404, "delivery_not_found", f"There is no message {delivery_id[:64]}.")
        return json_response(DoneOut(id=delivery_id, done="It is sent within seconds."), 202)

    async def test(self, request: web.Request) -> web.Response:
        """Put a message of its own into the outbox."""
        said = await body_of(request, TestIn)
        post, now = self._deps.post(said.channel), self._deps.now()
        message = trial(f"test-{uuid.uuid4().hex}", now)
        delivery_id = await self._deps.outbox.put_one(message, post, now)
        done = "It is sent within seconds; /api/alerts/deliveries shows what came of it."
        return json_response(DoneOut(id=delivery_id, done=done), 202)
