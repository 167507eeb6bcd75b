"""``GET /api/calls``, ``/api/calls/{id}`` and ``/api/calls/{id}/cost``."""

from __future__ import annotations

import re
from typing import Final

import msgspec
from aiohttp import web

from gateway.api.deps import ApiDeps
from gateway.api.explanation import explanation_of
from gateway.api.models import CallOut, CallsOut, ExplanationOut
from gateway.api.problems import ApiError, json_response
from gateway.api.query import CallsQuery, parse_calls_query
from gateway.api.routes import Endpoint
from gateway.api.viewer import viewer_of
from gateway.api.views import call_out
from storage.contents.keep import mode_of
from storage.store import pending_row
from storage.tables import CallRow

_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


class Calls:
    """Handlers over the store."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                "/api/calls", self.listing, "Calls, newest first", CallsOut, CallsQuery, (400, 401, 403, 503)
            ),
            Endpoint("/api/calls/{id}", self.one, "One call", CallOut, None, (400, 401, 403, 404, 503)),
            Endpoint(
                "/api/calls/{id}/cost",
                self.cost,
                "How the cost of one call came about",
                ExplanationOut,
                None,
                (400, 401, 403, 404, 503),
            ),
        )

    async def listing(self, request: web.Request) -> web.Response:
        """A page of calls."""
        query, chosen = parse_calls_query(request.query)
        chosen = msgspec.structs.replace(chosen, scope=tuple(viewer_of(request).scope.items()))
        page = await self._deps.store.list_calls(chosen, query.cursor, query.limit, query.order)
        return json_response(
            CallsOut(items=[call_out(row) for row in page.items], next_cursor=page.next_cursor)
        )

    async def one(self, request: web.Request) -> web.Response:
        """One call by id."""
        return json_response(call_out(await self._row(request)))

    async def cost(self, request: web.Request) -> web.Response:
        """One call's cost, explained."""
        row = await self._row(request)
        out = explanation_of(row, self._deps.book(), self._deps.price_as)
        control = self._deps.control
        content = None if control is None else await mode_of(control.db, out.id)
        return json_response(out.model_copy(update={"content": content}))

    async def _row(self, request: web.Request) -> CallRow:
        id_ = id_of(request)
        record = self._deps.pending(id_)
        row = await self._deps.store.get_call(id_) if record is None else pending_row(record)
        scope = viewer_of(request).scope
        if row is None or any(getattr(row, column) != value for column, value in scope.items()):
            raise ApiError(
                404, "call_not_found", f"There is no call {id_}. A call is stored a moment after it ended."
            )
        return row


def id_of(request: web.Request) -> str:
    """The call id in the path. Raises :class:`ApiError` 400."""
    id_ = request.match_info["id"].lower()
    if _ID.fullmatch(id_) is None:
        raise ApiError(
            400, "invalid_parameter", "id must be a call id, as in x-weighbridge-request-id.", param="id"
        )
    return id_
