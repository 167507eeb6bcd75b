"""``/api/keys``: gateway keys, made, changed, rotated and ended. Secrets are in two answers and nowhere else."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from gateway.api.body import fitted, table_of
from gateway.api.control import NO_STORE, ControlDeps, id_in, not_there, place_in, to_cursor
from gateway.api.key_models import KeyChangeIn, KeyIn, KeyMadeOut, KeyOut, KeysOut, RotateIn, key_out, said_of
from gateway.api.page import PageQuery, query_of
from gateway.api.problems import ApiError, json_response
from gateway.api.routes import Endpoint
from gateway.api.viewer import viewer_of
from storage.keys import admin
from storage.keys.model import Key, KeyRow, new_key_id

PATH: Final = "/api/keys"
ONE: Final = "/api/keys/{id}"


class Keys:
    """Handlers over the table of keys."""

    def __init__(self, deps: ControlDeps) -> None:
        self._deps = deps

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        reading = (400, 401, 403, 503)
        changing = (400, 401, 403, 404, 409, 413, 503)
        return (
            Endpoint(
                PATH, self.listing, "Gateway keys, newest first", KeysOut, PageQuery, reading, admin=True
            ),
            Endpoint(
                PATH,
                self.create,
                "Make a key; its secret is in the answer",
                KeyMadeOut,
                errors=(400, 401, 403, 413, 503),
                method="POST",
                body=KeyIn,
                status=201,
                admin=True,
            ),
            Endpoint(ONE, self.one, "One key", KeyOut, errors=(401, 403, 404, 503), admin=True),
            Endpoint(
                ONE,
                self.change,
                "Change what a key says",
                KeyOut,
                errors=changing,
                method="PATCH",
                body=KeyChangeIn,
                admin=True,
            ),
            Endpoint(
                f"{ONE}/rotate",
                self.rotate,
                "Give a key another secret",
                KeyMadeOut,
                errors=changing,
                method="POST",
                body=RotateIn,
                admin=True,
            ),
            Endpoint(
                ONE,
                self.revoke,
                "End a key for ever",
                KeyOut,
                errors=(401, 403, 404, 503),
                method="DELETE",
                admin=True,
            ),
        )

    async def listing(self, request: web.Request) -> web.Response:
        """A page of keys."""
        query = query_of(request, PageQuery)
        rows = await admin.key_page(self._deps.db, place_in(query.cursor), query.limit + 1)
        page, now_ms = rows[: query.limit], self._deps.now_ms
        last = page[-1] if len(rows) > query.limit else None
        cursor = None if last is None else to_cursor(last.created_ms, last.key.id)
        return json_response(KeysOut(items=[key_out(row, now_ms) for row in page], next_cursor=cursor))

    async def create(self, request: web.Request) -> web.Response:
        """A new key."""
        deps = self._deps
        said = fitted(KeyIn, await table_of(request), deps.known())
        now_ms = deps.now_ms
        key = said.to_key(new_key_id())
        secret = await admin.create_key(deps.db, key, viewer_of(request).name, now_ms)
        return self._made(KeyRow(key, "", None, None, now_ms, None), secret, 201)

    async def one(self, request: web.Request) -> web.Response:
        """One key by id."""
        return json_response(key_out(await self._row(request), self._deps.now_ms))

    async def change(self, request: web.Request) -> web.Response:
        """Other words for a key, from the next call on."""
        given = await table_of(request)

        def edit(key: Key) -> Key:
            known = self._deps.known().also(key.providers)
            return fitted(KeyIn, {**said_of(key), **given}, known).to_key(key.id)

        row = await admin.change_key(
            self._deps.db, id_in(request, "key", PATH), edit, viewer_of(request).name
        )
        if row is None:
            raise await self._why_not(request)
        return json_response(key_out(row, self._deps.now_ms))

    async def rotate(self, request: web.Request) -> web.Response:
        """Another secret for a key."""
        deps = self._deps
        said = fitted(RotateIn, await table_of(request), deps.known())
        id_, now_ms = id_in(request, "key", PATH), deps.now_ms
        secret = await admin.rotate_key(deps.db, id_, viewer_of(request).name, now_ms, said.grace)
        if secret is None:
            raise await self._why_not(request)
        return self._made(await self._row(request), secret)

    async def revoke(self, request: web.Request) -> web.Response:
        """The end of a key. Asked again, the answer is the same."""
        deps = self._deps
        await admin.revoke_key(deps.db, id_in(request, "key", PATH), viewer_of(request).name, deps.now_ms)
        return json_response(key_out(await self._row(request), deps.now_ms))

    def _made(self, row: KeyRow, secret: str, status: int = 200) -> web.Response:
        made = KeyMadeOut(key=key_out(row, self._deps.now_ms), secret=secret)
        return json_response(made, status, NO_STORE)

    async def _row(self, request: web.Request) -> KeyRow:
        id_ = id_in(request, "key", PATH)
        row = await admin.key_of(self._deps.db, id_)
        if row is None:
            raise not_there("key", id_, PATH)
        return row

    async def _why_not(self, request: web.Request) -> ApiError:
        """A key that can't be changed is gone, or there is none."""
        row = await self._row(request)
        message = f"The key {row.key.name!r} is revoked, and that is for ever; make another one."
        return ApiError(409, "key_revoked", message)
