"""The demo provider: an aiohttp app that speaks three wires and takes its time as real providers do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from gateway.demo import anthropic_wire, gemini_wire, openai_wire, responses_wire
from gateway.demo.replies import Prompt, Reply, answer, count_tokens

MODELS = ("gpt-5.5", "gpt-5.4-mini", "gpt-4o", "gpt-4o-mini", "o4-mini", "text-embedding-3-small")
ANTHROPIC_MODELS = ("claude-sonnet-5", "claude-haiku-4-5")
GEMINI_MODELS = ("gemini-2.5-pro", "gemini-3.5-flash")
FAULT_MODEL = "demo-error-"
"""A model of this name with a status behind it (``demo-error-429``) always fails with that status."""
WRONG_KEY = "wrong-key"
"""The one credential that is refused."""

ErrorShape = Callable[[int, str, str], dict[str, Any]]
_MESSAGES = {
    400: ("invalid_request", "The request could not be read."),
    401: ("invalid_api_key", "The API key is not valid."),
    404: ("model_not_found", "There is no such model."),
    429: ("rate_limit_exceeded", "Too many requests; please slow down."),
    529: ("overloaded", "Overloaded."),
}


class Pace(msgspec.Struct, frozen=True):
    """How the provider behaves in time. All zero: at once, and never an error of its own accord."""

    first_token_s: float = 0.0
    """Mean time to the first token."""
    token_s: float = 0.0
    """Time per output token."""
    error_share: float = 0.0
    """Share of calls that fail with 429, 500 or 529."""
    seed: int = 1


REALISTIC = Pace(first_token_s=0.35, token_s=0.012, error_share=0.03)


class DemoError(Exception):
    """Ends a call with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class DemoProvider:
    """Handlers of the app; holds the pace and its own source of chance."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.chance = random.Random(pace.seed)

    def app(self) -> web.Application:
        """The whole provider as one app."""
        app = web.Application(client_max_size=16 << 20)
        app.router.add_post("/v1/chat/completions", self._guarded(self.chat, openai_wire.error_document))
        app.router.add_post("/v1/responses", self._guarded(self.responses, openai_wire.error_document))
        app.router.add_post("/v1/embeddings", self._guarded(self.embeddings, openai_wire.error_document))
        app.router.add_get("/v1/models", self._guarded(self.models, openai_wire.error_document))
        app.router.add_post("/v1/messages", self._guarded(self.messages, anthropic_wire.error_document))
        app.router.add_post(
            "/v1/messages/count_tokens", self._guarded(self.count, anthropic_wire.error_document)
        )
        app.router.add_get("/v1beta/models", self._guarded(self.gemini_models, gemini_wire.error_document))
        app.router.add_post(
            "/{version:v1|v1alpha|v1beta}/models/{model}:{verb}",
            self._guarded(self.gemini, gemini_wire.error_document),
        )
        return app

    def _guarded(
        self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]], shape: ErrorShape
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                _check_key(request)
                return await handler(request)
            except DemoError as error:
                return _failure(error.status, shape)
            except (ValueError, KeyError, TypeError, AttributeError):
                return _failure(400, shape)

        return handle

    # OpenAI

    async def chat(self, request: web.Request) -> web.StreamResponse:
        prompt = openai_wire.read_chat(await _json(request))
        reply = await self._think(prompt)
        if prompt.stream:
            return await self._stream(request, openai_wire.chat_events(reply, prompt.include_usage), reply)
        return await self._whole(openai_wire.chat_document(reply), reply)

    async def responses(self, request: web.Request) -> web.StreamResponse:
        prompt = responses_wire.read(await _json(request))
        reply = await self._think(prompt)
        if prompt.stream:
            return await self._stream(request, responses_wire.events(reply), reply)
        return await self._whole(responses_wire.document(reply), reply)

    async def embeddings(self, request: web.Request) -> web.StreamResponse:
        body = await _json(request)
        await self._think(Prompt(model=str(body.get("model", "")), text=""))
        return web.json_response(openai_wire.embeddings_document(body), headers=_headers())

    async def models(self, request: web.Request) -> web.StreamResponse:
        if "anthropic-version" in request.headers:
            return web.json_response(anthropic_wire.models_document(ANTHROPIC_MODELS))
        return web.json_response(openai_wire.models_document(MODELS))

    # Anthropic

    async def messages(self, request: web.Request) -> web.StreamResponse:
        prompt = anthropic_wire.read(await _json(request))
        reply = await self._think(prompt)
        if prompt.stream:
            return await self._stream(request, anthropic_wire.events(reply), reply)
        return await self._whole(anthropic_wire.document(reply), reply)

    async def count(self, request: web.Request) -> web.StreamResponse:
        prompt = anthropic_wire.read(await _json(request))
        return web.json_response({"input_tokens": count_tokens(prompt.text)})

    # Gemini

    async def gemini(self, request: web.Request) -> web.StreamResponse:
        verb, body = request.match_info["verb"], await _json(request)
        if verb not in ("generateContent", "streamGenerateContent", "countTokens"):
            raise DemoError(404)
        streamed = verb == "streamGenerateContent"
        prompt = gemini_wire.read(request.match_info["model"], streamed, body)
        if verb == "countTokens":
            return web.json_response({"totalTokens": count_tokens(prompt.text)})
        reply = await self._think(prompt)
        if not streamed:
            return await self._whole(gemini_wire.document(reply), reply)
        sse = request.query.get("alt") == "sse"
        kind = "text/event-stream" if sse else "application/json"
        return await self._stream(request, gemini_wire.events(reply, sse), reply, kind)

    async def gemini_models(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(gemini_wire.models_document(GEMINI_MODELS))

    # time and chance

    async def _think(self, prompt: Prompt) -> Reply:
        """The answer, after the time to the first token; or an error."""
        if prompt.model.startswith(FAULT_MODEL):
            raise DemoError(int(prompt.model.removeprefix(FAULT_MODEL)))
        if not prompt.model:
            raise DemoError(400)
        if self.chance.random() < self.pace.error_share:
            raise DemoError(self.chance.choice((429, 429, 500, 529)))
        if self.pace.first_token_s:
            await asyncio.sleep(self.pace.first_token_s * self.chance.uniform(0.4, 2.0))
        return answer(prompt)

    async def _whole(self, document: dict[str, Any], reply: Reply) -> web.StreamResponse:
        if self.pace.token_s:
            await asyncio.sleep(self.pace.token_s * reply.output)
        return web.json_response(document, headers=_headers())

    async def _stream(
        self, request: web.Request, events: list[bytes], reply: Reply, kind: str = "text/event-stream"
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={**_headers(), "Content-Type": f"{kind}; charset=utf-8"})
        gap = self.pace.token_s * reply.output / len(events)
        with contextlib.suppress(ConnectionResetError):  # the app has left; a provider does not mind
            await response.prepare(request)
            for number, event in enumerate(events):
                if gap and number:
                    await asyncio.sleep(gap)
                await response.write(event)
            await response.write_eof()
        return response


async def _json(request: web.Request) -> dict[str, Any]:
    body = json.loads(await request.read())
    if not isinstance(body, dict):
        raise DemoError(400)
    return body


def _check_key(request: web.Request) -> None:
    given = request.headers.get("authorization", "").removeprefix("Bearer ")
    key = given or request.headers.get("x-api-key") or request.headers.get("x-goog-api-key")
    key = key or request.query.get("key")
    if not key or key == WRONG_KEY:
        raise DemoError(401)


def _failure(status: int, shape: ErrorShape) -> web.Response:
    kind, message = _MESSAGES.get(status, ("server_error", "Something went wrong at the provider."))
    headers = {**_headers(), **({"retry-after": "1"} if status in (429, 529) else {})}
    return web.json_response(shape(status, kind, message), status=status, headers=headers)


def _headers() -> dict[str, str]:
    return {"x-request-id": "req_demo", "x-ratelimit-limit-requests": "10000", "x-demo-provider": "1"}


async def start(pace: Pace, host: str = "127.0.0.1", port: int = 0) -> tuple[web.AppRunner, str]:
    """Starts the provider on a free loopback port; returns its runner (``cleanup()``) and base URL."""
    runner = web.AppRunner(DemoProvider(pace).app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    name = runner.addresses[0]
    return runner, f"http://{name[0]}:{name[1]}"
