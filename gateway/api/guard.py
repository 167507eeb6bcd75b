"""Who may use the API: holders of the admin token or of a token that may read, or this machine alone."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Collection, Iterator
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from pydantic import SecretStr

from gateway.api.problems import ApiError, Handler
from gateway.api.viewer import ADMIN, LOCAL, Viewer, admit, viewer_of
from storage.keys.model import KEY_PREFIX, TOKEN_PREFIX

TOKEN_HEADER: Final = "x-weighbridge-admin-token"
_PREFIX: Final = "/api/"
METRICS: Final = "/metrics"
DOCS: Final = "/api/docs"


KEY_HEADER: Final = "x-weighbridge-key"
_OURS: Final = (TOKEN_PREFIX, KEY_PREFIX)

Tokens = Callable[[str], Awaitable[Viewer | None]]
"""Who a token that may only read, or a gateway key, belongs to; ``None``: nobody."""


class Guard:
    """Decides on every request below ``/api/`` and on ``/metrics``; probes are open.

    Without an admin token the API is served only to a loopback listener, and only to requests that name a loopback host:
    a page in a browser can make its own name resolve to 127.0.0.1 (DNS rebinding), but it can't forge ``Host``
    and ``Origin``.
    """

    def __init__(
        self,
        token: Callable[[], SecretStr | None],
        *,
        loopback: bool,
        tokens: Tokens | None = None,
        apps: Collection[str] = (),
    ) -> None:
        """``token``: the admin's, as it is now. ``apps``: paths that are open to gateway keys; everything else is closed
        to them."""
        self._token = token
        self._loopback = loopback
        self._tokens = tokens
        self._apps = frozenset(apps)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if needs_asking(request.path):
            viewer = await self.check(request)
            if viewer.key is not None and request.path not in self._apps:
                message = f"A gateway key opens {', '.join(sorted(self._apps)) or 'nothing here'}, and nothing else."
                raise ApiError(403, "not_for_keys", message)
            admit(request, viewer)
            request[_GUARD] = self
        return await handler(request)

    async def check(self, request: web.Request) -> Viewer:
        """Who asks. Raises :class:`ApiError` 401 or 403."""
        what, token = "A token is needed", self._token()
        for told in _secrets(request):
            what = "This token is not the gateway's. One is needed"
            viewer = await self._viewer(told, token)
            if viewer is not None:
                return viewer
            if told.startswith(_OURS):  # whoever sends one is judged by it, also where none is needed
                kind = "token" if told.startswith(TOKEN_PREFIX) else "gateway key"
                raise _unauthorized(f"This {kind} is not known, or has expired, or was revoked.")
        if token is not None:
            raise _unauthorized(f"{what}: Authorization: Bearer TOKEN, or {TOKEN_HEADER}.")
        if not self._loopback:
            raise ApiError(
                403,
                "admin_api_closed",
                "The gateway is reachable from other machines and has no admin token, so its API is closed. "
                "Set WEIGHBRIDGE_ADMIN_TOKEN and start it again.",
            )
        if not is_loopback_name(request.host) or not _own_origin(request.headers.get("Origin")):
            raise ApiError(
                403,
                "foreign_host",
                "Without an admin token the API answers only to localhost, and to pages served from it.",
            )
        return LOCAL

    async def _viewer(self, told: str, token: SecretStr | None) -> Viewer | None:
        if token is not None and hmac.compare_digest(_digest(told), _digest(token.get_secret_value())):
            return ADMIN
        return None if self._tokens is None else await self._tokens(told)


_GUARD: Final = web.RequestKey("guard", Guard)


async def is_still_admitted(request: web.Request) -> bool:
    """Would it be admitted again, as the same? For answers that outlive what admitted them."""
    try:
        return await request[_GUARD].check(request) == viewer_of(request)
    except ApiError:
        return False


def needs_asking(path: str) -> bool:
    """Everything that tells something; a page that reads the document, and its scripts, do not."""
    if path == DOCS or path.startswith(f"{DOCS}/"):
        return False
    return path.startswith(_PREFIX) or path in (_PREFIX[:-1], METRICS)


def admins_only(handler: Handler, *, apps: bool = False) -> Handler:
    """The handler behind a check that the caller may change things; ``apps``: or holds a gateway key."""

    async def checked(request: web.Request) -> web.StreamResponse:
        viewer = viewer_of(request)
        if not viewer.admin and not (apps and viewer.key is not None):
            raise ApiError(403, "admin_only", "This needs the admin token; yours may only read.")
        return await handler(request)

    return checked


def _digest(secret: str) -> bytes:
    return sha256(secret.encode("utf-8", "surrogateescape")).digest()


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, "unauthorized", message, headers={"WWW-Authenticate": 'Bearer realm="weighbridge"'})


def _secrets(request: web.Request) -> Iterator[str]:
    """What the caller shows, in the order in which it counts."""
    direct = request.headers.get(TOKEN_HEADER)
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    bearer = value if scheme.lower() == "bearer" else ""
    for told in (bearer if direct is None else direct, request.headers.get(KEY_HEADER, "")):
        if told.strip():
            yield told.strip()


def is_loopback_name(host: str) -> bool:
    """Does a ``Host`` value (with or without port) name this machine as seen from itself?"""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return False
    if not name or "@" in host:
        return False
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _own_origin(origin: str | None) -> bool:
    if origin is None:
        return True
    scheme, _, host = origin.partition("://")
    return scheme in ("http", "https") and is_loopback_name(host)
