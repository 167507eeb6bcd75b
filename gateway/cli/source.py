"""Where the commands read calls: from the running gateway if it answers, else from its database."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import ProxyHandler, Request, build_opener

from gateway.api.models import CallOut, CallsOut, ExplanationOut
from gateway.cli.exits import Exit
from gateway.settings import Settings

TIMEOUT_SECONDS: Final = 5.0


class SourceError(Exception):
    """What was asked for can't be had; ``hint`` says what to do, ``code`` is the exit code."""

    def __init__(self, message: str, hint: str = "", code: Exit = Exit.UNREACHABLE) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


class CallSource(Protocol):
    """Calls, one call, one cost."""

    async def calls(self, query: Mapping[str, str]) -> CallsOut: ...

    async def call(self, call_id: str) -> CallOut | None: ...

    async def cost(self, call_id: str) -> ExplanationOut | None: ...


class ServerSource:
    """Over the HTTP API of a running gateway."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._opener = build_opener(ProxyHandler({}))

    def answers(self) -> bool:
        """Does a gateway run there that lets us in?"""
        try:
            return bool(self._get("/").get("name") == "weighbridge" and self._get("/api/calls?limit=1"))
        except (SourceError, AttributeError):
            return False

    async def calls(self, query: Mapping[str, str]) -> CallsOut:
        return CallsOut.model_validate(self._get(f"/api/calls?{urlencode(query)}"))

    async def call(self, call_id: str) -> CallOut | None:
        found = self._get(f"/api/calls/{quote(call_id, safe='')}", missing=True)
        return None if found is None else CallOut.model_validate(found)

    async def cost(self, call_id: str) -> ExplanationOut | None:
        found = self._get(f"/api/calls/{quote(call_id, safe='')}/cost", missing=True)
        return None if found is None else ExplanationOut.model_validate(found)

    def _get(self, path: str, *, missing: bool = False) -> Any:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        try:
            with self._opener.open(
                Request(self._url + path, headers=headers), timeout=TIMEOUT_SECONDS
            ) as answer:
                return json.load(answer)
        except HTTPError as error:
            if missing and error.code == 404:
                return None
            code = Exit.USAGE if error.code == 400 else Exit.UNREACHABLE
            raise SourceError(_message(error), _HINTS.get(error.code, ""), code) from None
        except (URLError, OSError, ValueError) as error:
            raise SourceError(
                f"no gateway answers at {self._url}", "Start it with 'weighbridge serve', or check --url"
            ) from error


_HINTS: Final = {
    401: "Set WEIGHBRIDGE_ADMIN_TOKEN to the gateway's admin token",
    403: "Ask on the machine the gateway runs on, or give it an admin token",
}


def _message(error: HTTPError) -> str:
    try:
        return str(json.load(error)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the gateway answered {error.code}"


@asynccontextmanager
async def open_source(settings: Settings, url: str | None) -> AsyncIterator[CallSource]:
    """The gateway at ``url`` if given; else the one the settings describe if it runs; else the database.

    Raises :class:`SourceError` if ``url`` does not answer.
    """
    secret = settings.auth.admin_secret
    server = ServerSource(url or server_url(settings), secret.get_secret_value() if secret else None)
    if url is not None or server.answers():
        yield server
        return
    from gateway.cli.store_source import open_store_source

    async with open_store_source(settings) as source:
        yield source


def server_url(settings: Settings) -> str:
    """Where a gateway with these settings listens, as seen from this machine."""
    host = settings.server.host
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{settings.server.port}"
