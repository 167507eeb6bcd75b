"""How a resource describes its endpoints, once: for the router and for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web
from pydantic import BaseModel


class Endpoint(msgspec.Struct, frozen=True):
    """One endpoint."""

    path: str
    """With ``{name}`` for path parameters."""
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    summary: str
    answer: type[BaseModel] | None
    """``None``: a document without a model of its own."""
    query: type[BaseModel] | None = None
    errors: tuple[int, ...] = ()
    guarded: bool = True
    """Needs the admin token where there is one, or a token that may read."""
    method: str = "GET"
    body: type[BaseModel] | None = None
    """What the request's JSON has to be."""
    status: int = 200
    """Of the answer."""
    admin: bool = False
    """Tokens that may only read are refused."""
    apps: bool = False
    """Gateway keys may do it too, of what is their own."""
    media: tuple[str, ...] = ("application/json",)
    """Types the answer may have; of a stream, ``answer`` is each item."""
