"""The OpenAPI document, made from the endpoints that exist."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import Iterable
from typing import Any, Final, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.api.guard import TOKEN_HEADER
from gateway.api.problems import ErrorOut
from gateway.api.routes import Endpoint

_REF: Final = "#/components/schemas/{model}"
_ERRORS: Final = {
    400: "A parameter can't be used",
    401: "The token is missing or wrong",
    403: "The API is closed to this caller",
    404: "There is no such thing",
    409: "It exists already, or has changed since",
    413: "The body is too large",
    429: "Too many do this already",
    431: "Address and headers together are too large",
    503: "The database does not answer, or not in time",
}
_ANYWHERE: Final = (431,)
"""What the server itself may answer, whatever was asked for."""

_JSON: Final = "application/json"
_KEPT: Final = ("type", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "maxItems")


class Described:
    """The document as it is sent. Made when it is first asked for, in a thread: it takes a tenth of a second and more,
    which calls would have to wait for at every start."""

    def __init__(self, endpoints: Iterable[Endpoint], version: str) -> None:
        self._endpoints = tuple(endpoints)
        self._version = version
        self._body: bytes | None = None

    async def body(self) -> bytes:
        """JSON. Two that are the first at once both make it."""
        if self._body is None:
            self._body = await asyncio.to_thread(self._make)
        return self._body

    def _make(self) -> bytes:
        return json.dumps(document(self._endpoints, self._version)).encode()


def document(endpoints: Iterable[Endpoint], version: str) -> dict[str, Any]:
    """OpenAPI 3.1."""
    served = list(endpoints)
    models: dict[type[BaseModel], None] = {ErrorOut: None}
    models.update({endpoint.answer: None for endpoint in served if endpoint.answer is not None})
    wanted: list[tuple[type[BaseModel], Literal["serialization", "validation"]]]
    wanted = [(model, "serialization") for model in models]
    wanted += [(endpoint.body, "validation") for endpoint in served if endpoint.body is not None]
    _, schemas = models_json_schema(wanted, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in served:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Weighbridge",
            "version": version,
            "description": "Calls that passed through the gateway. Money is decimal USD as text, and whole nano-USD.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": TOKEN_HEADER},
            },
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    done = {"description": "OK", "content": _content(endpoint.answer, endpoint.media)}
    responses: dict[str, Any] = {str(endpoint.status): done}
    for status in sorted({*endpoint.errors, *_ANYWHERE}):
        responses[str(status)] = {"description": _ERRORS[status], "content": _content(ErrorOut)}
    operation: dict[str, Any] = {
        "tags": [_tag(endpoint.path)],
        "summary": endpoint.summary,
        "operationId": re.sub(r"\W+", "_", _told(endpoint)).strip("_") or "root",
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint)],
        "responses": responses,
    }
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(endpoint.body)}
    if endpoint.admin:
        operation["x-admin-only"] = True
    if endpoint.apps:
        operation["x-gateway-keys"] = True
    if endpoint.guarded:
        operation["security"] = [{"bearer": []}, {"header": []}, {}]
    return operation


def _tag(path: str) -> str:
    """What an endpoint is listed under: the first name behind ``/api/``."""
    found = re.match(r"/api/([a-z-]+)(?:/|$)", path)
    return found[1] if found else "gateway"


def _told(endpoint: Endpoint) -> str:
    return endpoint.path if endpoint.method == "GET" else f"{endpoint.method.lower()}{endpoint.path}"


def _content(model: type[BaseModel] | None, media: tuple[str, ...] = (_JSON,)) -> dict[str, Any]:
    schema = {"type": "object"} if model is None else {"$ref": _REF.format(model=model.__name__)}
    return {one: {"schema": schema if one == _JSON or model else {"type": "string"}} for one in media}


def _path_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", endpoint.path)
    ]


def _query_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    if endpoint.query is None:
        return []
    schema = endpoint.query.model_json_schema()
    definitions = schema.get("$defs", {})
    parameters = []
    for name in _own_first(endpoint.query):
        described = schema["properties"][name]
        kinds = [kind for kind in described.get("anyOf", [described]) if kind.get("type") != "null"]
        kept = _plain(kinds[0], definitions)
        if described.get("default") not in (None, []):
            kept["default"] = described["default"]
        parameters.append(
            {"name": name, "in": "query", "description": described.get("description", ""), "schema": kept}
        )
    return parameters


def _own_first(model: type[BaseModel]) -> list[str]:
    """Names of the fields, those of the model itself before those that many have: filters are many."""
    names = {name: None for part in model.__mro__ for name in inspect.get_annotations(part)}
    return [name for name in names if name in model.model_fields]


def _plain(kind: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A schema without references and titles. An array is a parameter that may be given several times."""
    if "$ref" in kind:
        kind = definitions[kind["$ref"].rsplit("/", 1)[-1]]
    kept: dict[str, Any] = {key: kind[key] for key in _KEPT if key in kind}
    if "items" in kind:
        kept["items"] = _plain(kind["items"], definitions)
    return kept
