"""Answers that are sent as they are read: too long to be held in memory."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from aiohttp import web


async def streamed(
    request: web.Request, headers: Mapping[str, str], pieces: AsyncGenerator[bytes, None]
) -> web.StreamResponse:
    """The answer. What fails before anything is read is raised as it is, and can be told as an error.

    Later the connection is cut, so that no half file looks whole.
    """
    async with aclosing(pieces):
        first = [
            await anext(pieces, b""),
            await anext(pieces, b""),
        ]  # some files have a head, read from nowhere
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        whole = False
        try:
            for piece in first:
                await response.write(piece)
            async for piece in pieces:
                await response.write(piece)
            await response.write_eof()
            whole = True
        finally:
            if not whole and request.transport is not None:
                request.transport.abort()
        return response
