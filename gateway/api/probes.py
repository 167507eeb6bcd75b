"""``/healthz``, ``/readyz`` and ``/``: open to everyone, tell nothing of any call."""

from __future__ import annotations

from aiohttp import web

from gateway.api.deps import ApiDeps
from gateway.api.models import HealthOut, ReadyOut, RootOut
from gateway.api.problems import json_response
from gateway.api.routes import Endpoint


class Probes:
    """Liveness never looks at the database; readiness stays 200 without it, since calls go on."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint("/", self.root, "Where to go from here", RootOut, guarded=False),
            Endpoint("/healthz", self.healthz, "The process is alive", HealthOut, guarded=False),
            Endpoint("/readyz", self.readyz, "The gateway takes calls", ReadyOut, guarded=False),
        )

    async def root(self, request: web.Request) -> web.Response:
        """Name, version and base URLs."""
        return json_response(RootOut(version=self._deps.version, base_urls=dict(self._deps.base_urls())))

    async def healthz(self, request: web.Request) -> web.Response:
        """Always 200."""
        return json_response(HealthOut(version=self._deps.version))

    async def readyz(self, request: web.Request) -> web.Response:
        """200, with ``degraded`` while records wait for the database."""
        health = self._deps.health()
        return json_response(ReadyOut(degraded=health.degraded, reason=health.reason))
