"""Who asks the API, and what is theirs to see."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from storage.keys.model import Key


class Viewer(msgspec.Struct, frozen=True):
    """A caller of the API. Calls are theirs to see where every scope that is set matches."""

    name: str
    """Who it is, for the log of changes; never the token."""
    admin: bool = False
    """May change things, and see all."""
    tenant: str | None = None
    team: str | None = None
    user: str | None = None
    content: bool = False
    """May also read prompts and answers that were kept."""
    key: Key | None = None
    """An app with its gateway key: it may tell of its own calls, and read nothing."""

    @property
    def scope(self) -> dict[str, str]:
        """Columns of ``model_requests`` and the value each must have; empty: everything may be seen."""
        said = {"tenant_id": self.tenant, "team": self.team, "user_id": self.user}
        if self.key is not None and not any(said.values()):
            return {"key_id": self.key.id}
        return {column: value for column, value in said.items() if value is not None}


_KEY: Final = web.RequestKey("viewer", Viewer)
ADMIN: Final = Viewer("admin", admin=True)
LOCAL: Final = Viewer("local", admin=True)
"""Somebody on this machine, where there is no admin token."""


def viewer_of(request: web.Request) -> Viewer:
    """Who asks; set by :class:`gateway.api.guard.Guard` before any handler runs."""
    return request[_KEY]


def viewer_with(key: Key) -> Viewer:
    """An app: its own are the calls of the key's tenant, team and user, or those made with a key that binds none."""
    return Viewer(key.name, tenant=key.tenant, team=key.team, user=key.user, key=key)


def admit(request: web.Request, viewer: Viewer) -> None:
    request[_KEY] = viewer
