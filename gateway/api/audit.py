"""``GET /api/audit``: who changed what, when."""

from __future__ import annotations

import json
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, Field

from gateway.api.control import ControlDeps
from gateway.api.page import PageQuery, query_of
from gateway.api.problems import json_response
from gateway.api.routes import Endpoint
from gateway.api.values import Value, moment_text
from storage import audit
from storage.audit import AuditLine
from storage.queries.calls import CursorError

PATH: Final = "/api/audit"


class AuditQuery(PageQuery):
    """Which lines. All given conditions must hold."""

    subject: Value | None = Field(default=None, description="Id of what was changed.")
    actor: Value | None = Field(default=None, description="Who changed it.")
    action: Value | None = Field(
        default=None, description="What was done: key.create; key for all that was done to keys."
    )


class AuditLineOut(BaseModel):
    """One change. ``detail`` holds no secret."""

    id: str
    at: str
    actor: str = Field(description="admin, local (no admin token is set), or cli:USER of the command line.")
    action: str = Field(examples=["budget.update"])
    subject: str = Field(description="Id of what was changed.")
    detail: dict[str, Any] = Field(
        description="What was made or ended; of a change each field as it was and as it is. Amounts are as they are "
        "kept: nano-USD, milliseconds, millionths."
    )


class AuditOut(BaseModel):
    """A page of the log, newest first; ``next_cursor`` is ``null`` on the last one."""

    items: list[AuditLineOut]
    next_cursor: str | None = None


class Audit:
    """Handlers over the log of changes."""

    def __init__(self, deps: ControlDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                PATH,
                self.listing,
                "Who changed what, newest first",
                AuditOut,
                AuditQuery,
                (400, 401, 403, 503),
                admin=True,
            ),
        )

    async def listing(self, request: web.Request) -> web.Response:
        """A page of the log."""
        query = query_of(request, AuditQuery)
        before = audit.NEWEST if query.cursor is None else query.cursor
        if not before.isprintable():
            raise CursorError("the cursor is not valid")
        lines = await audit.lines(
            self._deps.db,
            before,
            query.limit + 1,
            subject=query.subject,
            actor=query.actor,
            action=query.action,
        )
        page = lines[: query.limit]
        cursor = page[-1].id if len(lines) > len(page) else None
        return json_response(AuditOut(items=[line_out(line) for line in page], next_cursor=cursor))


def line_out(line: AuditLine) -> AuditLineOut:
    """As the API shows it."""
    return AuditLineOut(
        id=line.id,
        at=moment_text(line.at_ms) or "",
        actor=line.actor,
        action=line.action,
        subject=line.subject,
        detail=json.loads(line.detail),
    )
