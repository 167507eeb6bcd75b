"""JSON bodies of requests to the API: read with a limit, checked, and what is wrong with one named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

from gateway.api.fit import Known, Unfit, fit
from gateway.api.problems import ApiError

MOST_BYTES: Final = 1_048_576
Model = TypeVar("Model", bound=BaseModel)


async def body_of(request: web.Request, model: type[Model], most: int = MOST_BYTES) -> Model:
    """The body as ``model``. Raises :class:`ApiError` 400 (names the field) or 413."""
    raw = await raw_body(request, most)
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise unfit(error) from error


async def table_of(request: web.Request) -> dict[str, Any]:
    """The body as a JSON object, its numbers exactly as written; an empty body is an empty one.

    Raises :class:`ApiError` 400 or 413.
    """
    raw = await raw_body(request) or b"{}"
    try:
        found = json.loads(raw, object_pairs_hook=_once, parse_float=Decimal, parse_constant=str)
    except _Twice as twice:
        message = f"{twice} is given twice; once is allowed."
        raise ApiError(400, "invalid_body", message, param=str(twice)) from None
    except (ValueError, ArithmeticError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else "it cannot be read"
        raise ApiError(400, "invalid_body", f"The body is not JSON: {why}.") from None
    if not isinstance(found, dict):
        raise ApiError(400, "invalid_body", "The body is not a JSON object: write it in braces.")
    return found


def fitted(model: type[Model], given: Mapping[str, Any], known: Known) -> Model:
    """The model of what is given. Raises :class:`ApiError` 400 for the first thing that is wrong."""
    try:
        return fit(model, given, known)
    except Unfit as error:
        fault = error.faults[0]
        raise ApiError(
            400, "invalid_body", str(fault), param=fault.place or None, allowed=fault.allowed or None
        ) from error


class _Twice(ValueError):  # noqa: N818
    """The name of a field."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Twice(name[:64])
        found[name] = value
    return found


async def raw_body(request: web.Request, most: int = MOST_BYTES) -> bytes:
    """The body. Raises :class:`ApiError` 413."""
    raw = bytearray()
    async for piece in request.content.iter_any():
        raw += piece
        if len(raw) > most:
            raise ApiError(413, "too_large", f"The body is larger than {most} bytes.")
    return bytes(raw)


def unfit(error: ValidationError) -> ApiError:
    """400 for the first thing that is wrong, with its place."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "json_invalid" or not place:
        message = "The body is not the JSON that is expected here" + ("" if not place else f" ({place})")
        return ApiError(400, "invalid_body", f"{message}: {first['msg']}.")
    return ApiError(400, "invalid_body", f"{place}: {first['msg']}.", param=place)
