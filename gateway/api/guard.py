"""Who may use the API: holders of the admin token or of a token that may read, or this machine alone."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web
from pydantic import SecretStr

from gateway.api.problems import ApiError, Handler
from gateway.api.viewer import ADMIN, LOCAL, Viewer, admit, viewer_of
from storage.keys.model import TOKEN_PREFIX

TOKEN_HEADER: Final = "x-weighbridge-admin-token"
_PREFIX: Final = "/api/"
METRICS: Final = "/metrics"
DOCS: Final = "/api/docs"


Tokens = Callable[[str], Awaitable[Viewer | None]]
"""Who a token that may only read belongs to; ``None``: nobody."""


class Guard:
    """Decides on every request below ``/api/`` and on ``/metrics``; probes are open.

    Without an admin token the API is served only to a loopback listener, and only to requests that name a loopback host:
    a page in a browser can make its own name resolve to 127.0.0.1 (DNS rebinding), but it can't forge ``Host``
    and ``Origin``.
    """

    def __init__(self, token: SecretStr | None, *, loopback: bool, tokens: Tokens | None = None) -> None:
        self._digest = sha256(token.get_secret_value().encode()).digest() if token is not None else None
        self._loopback = loopback
        self._tokens = tokens

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if needs_asking(request.path):
            admit(request, await self.check(request))
        return await handler(request)

    async def check(self, request: web.Request) -> Viewer:
        """Who asks. Raises :class:`ApiError` 401 or 403."""
        told = _token(request)
        if self._digest is not None and told:
            given = sha256(told.encode("utf-8", "surrogateescape")).digest()
            if hmac.compare_digest(given, self._digest):
                return ADMIN
        if told and self._tokens is not None:
            reader = await self._tokens(told)
            if reader is not None:
                return reader
        if told.startswith(TOKEN_PREFIX):  # whoever sends one is judged by it, also where none is needed
            raise _unauthorized("This token is not known, or has expired, or was revoked.")
        if self._digest is not None:
            raise _unauthorized(f"A token is needed: Authorization: Bearer TOKEN, or {TOKEN_HEADER}.")
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


def needs_asking(path: str) -> bool:
    """Everything that tells something; a page that reads the document, and its scripts, do not."""
    if path == DOCS or path.startswith(f"{DOCS}/"):
        return False
    return path.startswith(_PREFIX) or path in (_PREFIX[:-1], METRICS)


def admins_only(handler: Handler) -> Handler:
    """The handler behind a check that the caller may change things."""

    async def checked(request: web.Request) -> web.StreamResponse:
        if not viewer_of(request).admin:
            raise ApiError(403, "admin_only", "This needs the admin token; yours may only read.")
        return await handler(request)

    return checked


def _unauthorized(message: str) -> ApiError:
    return ApiError(401, "unauthorized", message, headers={"WWW-Authenticate": 'Bearer realm="weighbridge"'})


def _token(request: web.Request) -> str:
    direct = request.headers.get(TOKEN_HEADER)
    if direct is not None:
        return direct.strip()
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


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
