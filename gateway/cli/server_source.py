"""Calls from a running gateway, over its HTTP API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any, Final, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

from pydantic import BaseModel, ValidationError

from gateway.api.content_models import ContentOut
from gateway.api.models import CallOut, CallsOut, ExplanationOut
from gateway.cli.exits import Exit
from gateway.cli.source import SourceError

PROBE_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 15.0
"""More than the gateway gives its database, so that it can tell itself what took too long."""
Model = TypeVar("Model", bound=BaseModel)


class _NoRedirect(HTTPRedirectHandler):
    """Following one would carry the admin token to wherever it points."""

    def redirect_request(self, *args: Any) -> None:
        return None


class ServerSource:
    """:class:`gateway.cli.source.CallSource` of the gateway at ``url``."""

    def __init__(self, url: str, token: str | None) -> None:
        self._url = url.rstrip("/")
        self._token = token
        if not self._url.startswith(("http://", "https://")):
            raise SourceError(
                f"{url} is not the address of a gateway", "Write it like http://127.0.0.1:8707", Exit.USAGE
            )
        self._opener = build_opener(ProxyHandler({}), _NoRedirect())

    def answers(self) -> bool:
        """Does a gateway run there that lets us in?"""
        try:
            named = self._get("/", wait_s=PROBE_SECONDS).get("name") == "weighbridge"
            return bool(named and self._get("/api/calls?limit=1", wait_s=PROBE_SECONDS))
        except (SourceError, AttributeError):
            return False

    async def calls(self, query: Mapping[str, str]) -> CallsOut:
        return self._read(CallsOut, self._get(f"/api/calls?{urlencode(query)}"))

    async def call(self, call_id: str) -> CallOut | None:
        found = self._get(f"/api/calls/{quote(call_id, safe='')}", missing=True)
        return None if found is None else self._read(CallOut, found)

    async def cost(self, call_id: str) -> ExplanationOut | None:
        found = self._get(f"/api/calls/{quote(call_id, safe='')}/cost", missing=True)
        return None if found is None else self._read(ExplanationOut, found)

    async def content(self, call_id: str) -> ContentOut | None:
        found = self._get(f"/api/calls/{quote(call_id, safe='')}/content", missing=True)
        return None if found is None else self._read(ContentOut, found)

    def _read(self, model: type[Model], found: Any) -> Model:
        try:
            return model.model_validate(found)
        except ValidationError:
            message = f"what {self._url} answers is not what a gateway of this version answers"
            raise SourceError(
                message, "Is it a gateway, and of which version? Its address shows both"
            ) from None

    def _get(self, path: str, *, missing: bool = False, wait_s: float | None = None) -> Any:
        guarded = self._token is not None and path.startswith("/api/")
        headers = {"Authorization": f"Bearer {self._token}"} if guarded else {}
        wait_s = ANSWER_SECONDS if wait_s is None else wait_s
        try:
            with self._opener.open(Request(self._url + path, headers=headers), timeout=wait_s) as answer:
                return json.load(answer)
        except HTTPError as error:
            if missing and error.code == 404:
                return None
            code = Exit.USAGE if error.code == 400 else Exit.UNREACHABLE
            raise SourceError(_message(error), _HINTS.get(error.code, ""), code) from None
        except TimeoutError as error:  # while it was waited for an answer; when connecting, it is a URLError
            raise SourceError(
                f"the gateway at {self._url} gave no answer in {wait_s:g} s",
                "Ask for less, or look into its log",
            ) from error
        except (URLError, OSError, HTTPException, ValueError) as error:
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
