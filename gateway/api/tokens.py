"""``/api/tokens``: tokens that may read what is within their scope."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from gateway.api.body import fitted, table_of
from gateway.api.control import NO_STORE, ControlDeps, id_in, not_there, place_in, to_cursor
from gateway.api.key_models import TokenIn, TokenMadeOut, TokenOut, TokensOut, token_out
from gateway.api.page import PageQuery, query_of
from gateway.api.problems import json_response
from gateway.api.routes import Endpoint
from gateway.api.viewer import viewer_of
from storage.keys import admin
from storage.keys.model import TokenRow, new_token_id

PATH: Final = "/api/tokens"


class Tokens:
    """Handlers over the table of tokens."""

    def __init__(self, deps: ControlDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                PATH,
                self.listing,
                "Tokens that may read, newest first",
                TokensOut,
                PageQuery,
                (400, 401, 403, 503),
                admin=True,
            ),
            Endpoint(
                PATH,
                self.create,
                "Make a token that may read; its secret is in the answer",
                TokenMadeOut,
                errors=(400, 401, 403, 413, 503),
                method="POST",
                body=TokenIn,
                status=201,
                admin=True,
            ),
            Endpoint(
                f"{PATH}/{{id}}",
                self.revoke,
                "End a token for ever",
                TokenOut,
                errors=(401, 403, 404, 503),
                method="DELETE",
                admin=True,
            ),
        )

    async def listing(self, request: web.Request) -> web.Response:
        """A page of tokens."""
        query = query_of(request, PageQuery)
        rows = await admin.token_page(self._deps.db, place_in(query.cursor), query.limit + 1)
        page, now_ms = rows[: query.limit], self._deps.now_ms
        last = page[-1] if len(rows) > query.limit else None
        cursor = None if last is None else to_cursor(last.created_ms, last.token.id)
        return json_response(TokensOut(items=[token_out(row, now_ms) for row in page], next_cursor=cursor))

    async def create(self, request: web.Request) -> web.Response:
        """A new token."""
        deps = self._deps
        token = fitted(TokenIn, await table_of(request), deps.known()).to_token(new_token_id())
        now_ms = deps.now_ms
        secret = await admin.create_token(deps.db, token, viewer_of(request).name, now_ms)
        row = TokenRow(token, "", now_ms, None)
        return json_response(TokenMadeOut(token=token_out(row, now_ms), secret=secret), 201, NO_STORE)

    async def revoke(self, request: web.Request) -> web.Response:
        """The end of a token. Asked again, the answer is the same."""
        deps, id_ = self._deps, id_in(request, "token", PATH)
        await admin.revoke_token(deps.db, id_, viewer_of(request).name, deps.now_ms)
        row = await admin.token_of(deps.db, id_)
        if row is None:
            raise not_there("token", id_, PATH)
        return json_response(token_out(row, deps.now_ms))
