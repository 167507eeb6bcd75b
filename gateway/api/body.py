"""JSON bodies of requests to the API: read with a limit, checked, and what is wrong with one named."""

from __future__ import annotations

from typing import Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError

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
