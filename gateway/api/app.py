"""The API as one aiohttp application: resources, the guard before them, errors as JSON around both."""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web

from gateway.api.alert_rules import AlertRules
from gateway.api.alerts import Alerts
from gateway.api.analytics.endpoints import endpoints as analytics
from gateway.api.audit import Audit
from gateway.api.budgets import Budgets
from gateway.api.calls import Calls
from gateway.api.contents import Contents
from gateway.api.control import ControlDeps
from gateway.api.deps import ApiDeps, Health
from gateway.api.docs import Docs
from gateway.api.events import Events
from gateway.api.export import Exports
from gateway.api.feedback import Feedback
from gateway.api.guard import Guard, admins_only
from gateway.api.integrity import Integrity
from gateway.api.keys import Keys
from gateway.api.metrics import Metrics
from gateway.api.openapi import Described
from gateway.api.optouts import OptOuts
from gateway.api.outcomes import Outcomes
from gateway.api.probes import Probes
from gateway.api.problems import errors_as_json
from gateway.api.routes import Endpoint
from gateway.api.tokens import Tokens
from gateway.api.tracked import Tracking
from gateway.api.users import PrivacyDeps, Users

__all__ = ["ApiDeps", "ControlDeps", "Health", "PrivacyDeps", "Tracking", "api_app"]


def _quality(deps: ApiDeps) -> Iterator[Endpoint]:
    if deps.quality is not None:
        yield from Feedback(deps.quality, deps.pending).endpoints()
        yield from Outcomes(deps.quality, deps.pending).endpoints()
        if deps.tracking is not None:
            yield from Events(deps, deps.quality, deps.tracking).endpoints()


def _alerts(deps: ApiDeps) -> Iterator[Endpoint]:
    if deps.alerts is not None:
        yield from AlertRules(deps.alerts).endpoints()
        yield from Alerts(deps.alerts).endpoints()


def _control(deps: ControlDeps | None) -> Iterator[Endpoint]:
    if deps is not None:
        for resource in (Keys(deps), Tokens(deps), Budgets(deps), Audit(deps), Contents(deps)):
            yield from resource.endpoints()


async def _sign(request: web.BaseRequest, response: web.StreamResponse) -> None:
    """In place of the versions of Python and aiohttp, which are nobody's business."""
    response.headers["Server"] = "weighbridge"


def api_app(deps: ApiDeps) -> web.Application:
    """Serves ``/``, ``/healthz``, ``/readyz`` and everything below ``/api/``."""

    async def openapi(request: web.Request) -> web.Response:
        return web.Response(body=await described.body(), content_type="application/json")

    endpoints = [
        *Probes(deps).endpoints(),
        *Docs().endpoints(),
        *Calls(deps).endpoints(),
        *Integrity(deps).endpoints(),
        *Metrics(deps).endpoints(),
        *_control(deps.control),
        *_quality(deps),
        *(Users(deps.privacy).endpoints() if deps.privacy is not None else ()),
        *(OptOuts(deps.privacy).endpoints() if deps.privacy is not None else ()),
        *(Exports(deps.exports).endpoints() if deps.exports is not None else ()),
        *_alerts(deps),
        *(analytics(deps.analytics) if deps.analytics is not None else ()),
        Endpoint("/api/openapi.json", openapi, "This document", None, errors=(401, 403)),
    ]
    apps = [endpoint.path for endpoint in endpoints if endpoint.apps]
    guard = Guard(deps.admin_token, loopback=deps.loopback, tokens=deps.tokens, apps=apps)
    app = web.Application(middlewares=[errors_as_json, guard.middleware])
    app.on_response_prepare.append(_sign)
    described = Described(endpoints, deps.version)
    for endpoint in endpoints:
        handler = endpoint.handler
        if endpoint.admin:
            handler = admins_only(handler, apps=endpoint.apps)
        if endpoint.method == "GET":
            app.router.add_get(endpoint.path, handler)
        else:
            app.router.add_route(endpoint.method, endpoint.path, handler)
    return app
