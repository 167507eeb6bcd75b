"""What the resources that change things share: the small tables, and what checks of input may look up."""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Callable, Collection
from typing import Final

import msgspec
from aiohttp import web
from pydantic import SecretStr

from gateway.api.fit import Known
from gateway.api.problems import ApiError
from storage.control.contract import ControlDatabase
from storage.mend import storable
from storage.queries.calls import CursorError

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
NO_STORE: Final = {"Cache-Control": "no-store"}
"""Headers of answers with a secret."""


class ControlDeps(msgspec.Struct, frozen=True):
    """Keys, tokens, budgets and the log of their changes."""

    db: ControlDatabase
    providers: Callable[[], Collection[str]]
    """Their names in the settings."""
    salt: Callable[[], SecretStr | None] = lambda: None
    """User ids are kept as a hash under this; ``None``: as they are."""
    clock: Callable[[], float] = time.time
    """Seconds since 1970."""

    @property
    def now_ms(self) -> int:
        return int(self.clock() * 1000)

    @property
    def now_s(self) -> int:
        return int(self.clock())

    def known(self) -> Known:
        return Known(self.now_ms, self.providers(), self.salt())

    async def close(self) -> None:
        await self.db.close()


def to_cursor(*place: str | int) -> str:
    """An opaque text for where a list goes on."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place_in(cursor: str | None) -> tuple[int, str] | None:
    """A number and an id within a cursor. Raises :class:`CursorError`."""
    if cursor is None:
        return None
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        number, last = msgspec.json.decode(raw, type=tuple[int, str])
    except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
        raise CursorError("the cursor is not valid") from error
    if not -(2**63) <= number < 2**63 or not last.isprintable():
        raise CursorError("the cursor is not valid")
    return number, last


def id_in(request: web.Request, what: str, listed: str) -> str:
    """The ``{id}`` of a path. Raises :class:`ApiError` 404 for what cannot be one."""
    id_ = storable(request.match_info["id"])
    if _ID.fullmatch(id_) is None:
        raise not_there(what, id_, listed)
    return id_


def not_there(what: str, id_: str, listed: str) -> ApiError:
    """404."""
    return ApiError(404, "not_found", f"There is no {what} {id_[:64]!r}. {listed} lists what there is.")
