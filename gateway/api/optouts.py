"""``/api/users/{id}/opt-out`` and ``/api/opt-outs``: people of whom nothing is kept from now on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from aiohttp import web
from pydantic import BaseModel, Field

from gateway.api.parameters import parse_query
from gateway.api.problems import ApiError, json_response
from gateway.api.routes import Endpoint
from gateway.api.users import PersonQuery, PrivacyDeps
from gateway.api.values import moment_text
from gateway.api.viewer import viewer_of
from storage.control import ControlDatabase, control_of
from storage.privacy.optout import OptOut, opt_in, opt_out, opted_out

PATH: Final = "/api/users/{id}/opt-out"
LIST: Final = "/api/opt-outs"


class OptOutOut(BaseModel):
    """Somebody who opted out; nobody can be named by it."""

    digest: str = Field(description="Keyed digest of the id (of each form in which it is kept, one).")
    tenant: str | None = Field(default=None, description="null: in every tenant.")
    since: str


class OptOutsOut(BaseModel):
    """Newest first."""

    items: list[OptOutOut]


class OptOuts:
    """Handlers over those who opted out."""

    def __init__(self, deps: PrivacyDeps, clock: Callable[[], float] = time.time) -> None:
        self._deps = deps
        self._clock = clock

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        errors = (400, 401, 403, 503)
        return (
            Endpoint(
                PATH,
                self.leave,
                "From now on keep nothing of a person; their calls become nobody's",
                OptOutsOut,
                PersonQuery,
                errors,
                method="POST",
                admin=True,
            ),
            Endpoint(
                PATH,
                self.enter,
                "Keep what comes of a person from now on",
                OptOutsOut,
                PersonQuery,
                (*errors, 404),
                method="DELETE",
                admin=True,
            ),
            Endpoint(
                LIST, self.listing, "People who opted out", OptOutsOut, errors=(401, 403, 503), admin=True
            ),
        )

    async def leave(self, request: web.Request) -> web.Response:
        """Opt out; can be said again."""
        person = self._deps.person(request.match_info["id"], parse_query(request.query, PersonQuery).tenant)
        db = self._db()
        try:
            now_ms = int(self._clock() * 1000)
            found, _ = await opt_out(db, person, viewer_of(request).name, now_ms)
        finally:
            await db.close()
        return json_response(optouts_out(found))

    async def enter(self, request: web.Request) -> web.Response:
        """Take it back; the rest of them."""
        person = self._deps.person(request.match_info["id"], parse_query(request.query, PersonQuery).tenant)
        db = self._db()
        try:
            if not await opt_in(db, person, viewer_of(request).name):
                message = "This person has not opted out (in this tenant, or in every)."
                raise ApiError(404, "not_found", message)
            return json_response(optouts_out(await opted_out(db)))
        finally:
            await db.close()

    async def listing(self, request: web.Request) -> web.Response:
        """By digest only."""
        db = self._db()
        try:
            return json_response(optouts_out(await opted_out(db)))
        finally:
            await db.close()

    def _db(self) -> ControlDatabase:
        return control_of(self._deps.address)


def optouts_out(found: list[OptOut]) -> OptOutsOut:
    """As the API shows them."""
    return OptOutsOut(
        items=[
            OptOutOut(digest=one.digest, tenant=one.tenant, since=moment_text(one.since_ms) or "")
            for one in found
        ]
    )
