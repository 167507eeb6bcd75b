"""``GET /api/calls/{id}/content``: the captured prompt and answer of a call. Whoever reads one leaves a line in the log."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from gateway.api.calls import id_of
from gateway.api.content_models import ContentOut, content_out
from gateway.api.control import NO_STORE, ControlDeps
from gateway.api.problems import ApiError, json_response
from gateway.api.routes import Endpoint
from gateway.api.viewer import Viewer, viewer_of
from storage.contents.keep import content_of, read_by
from storage.contents.model import Content

PATH: Final = "/api/calls/{id}/content"


class Contents:
    """Handlers over the table of contents."""

    def __init__(self, deps: ControlDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                PATH,
                self.show,
                "What was kept of a call's prompt and answer; leaves a line in the log of changes",
                ContentOut,
                errors=(400, 401, 403, 404, 503),
            ),
        )

    async def show(self, request: web.Request) -> web.Response:
        """To admins, and to tokens with the right, what is theirs."""
        viewer = viewer_of(request)
        if not (viewer.admin or viewer.content):
            message = "This token may not read prompts and answers: it was made without the right to content."
            raise ApiError(403, "content_closed", message)
        id_ = id_of(request)
        content = await content_of(self._deps.db, id_)
        if content is None or not _may_see(viewer, content):
            message = (
                f"No content of call {id_} is kept: capture was off for it, it is older than "
                "retention.content_days, or it is not stored yet (that takes about a second)."
            )
            raise ApiError(404, "content_not_found", message)
        await read_by(self._deps.db, viewer.name, id_)
        return json_response(content_out(content), headers=NO_STORE)


def _may_see(viewer: Viewer, content: Content) -> bool:
    own = {"tenant_id": content.tenant, "team": content.team, "user_id": content.user}
    return all(own[column] == value for column, value in viewer.scope.items())
