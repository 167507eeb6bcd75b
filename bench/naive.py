"""The proxy most people would write first: an aiohttp application and a client session. Records nothing."""

from __future__ import annotations

import argparse

import aiohttp
import uvloop
from aiohttp import web

_DROPPED = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-encoding"})


class Naive:
    """Forwards everything to ``upstream``."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.session: aiohttp.ClientSession | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.session is None:
            self.session = aiohttp.ClientSession()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _DROPPED}
        body = await request.read()
        async with self.session.request(
            request.method, self.upstream + request.path_qs, data=body, headers=headers
        ) as answer:
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _DROPPED}
            if "event-stream" not in answer.headers.get("content-type", ""):
                return web.Response(body=await answer.read(), status=answer.status, headers=kept)
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("upstream")
    options = parser.parse_args()
    uvloop.install()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", Naive(options.upstream).handle)
    web.run_app(app, host="127.0.0.1", port=options.port, access_log=None, print=None)


if __name__ == "__main__":
    main()
