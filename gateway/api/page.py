"""Query parameters of lists: checked against a model, and what is wrong with one named."""

from __future__ import annotations

import time
from typing import Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.fit import Known, Unfit, fit
from gateway.api.problems import ApiError

DEFAULT_LIMIT: Final = 100
MOST: Final = 1_000
Query = TypeVar("Query", bound=BaseModel)


class PageQuery(BaseModel):
    """Which part of a list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MOST, description="Most on a page.")
    cursor: str | None = Field(
        default=None, min_length=1, max_length=1_024, description="next_cursor of the page before."
    )


def query_of(request: web.Request, model: type[Query]) -> Query:
    """The parameters of a request. Raises :class:`ApiError` 400 for the first that can't be used."""
    given: dict[str, str] = {}
    for name, value in request.query.items():
        if name in given:
            message = f"{name[:64]} is given twice; once is allowed."
            raise ApiError(400, "invalid_parameter", message, param=name[:64])
        given[name] = value
    try:
        return fit(model, given, Known(int(time.time() * 1000)))
    except Unfit as error:
        fault = error.faults[0]
        code = "invalid_parameter" if fault.place in model.model_fields else "unknown_parameter"
        raise ApiError(
            400, code, str(fault), param=fault.place or None, allowed=fault.allowed or None
        ) from None
