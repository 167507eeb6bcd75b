"""``POST /api/analytics/export``: calls as a file, sent as it is read."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec
from aiohttp import web
from multidict import MultiDict
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.analytics.query import Filters
from gateway.api.body import body_of
from gateway.api.problems import ApiError
from gateway.api.query import PAGING, CallsQuery, parse_calls_query
from gateway.api.routes import Endpoint
from gateway.api.stream import streamed
from gateway.api.viewer import viewer_of
from storage.address import parse
from storage.engine import reading_engine
from storage.export.encoders import MEDIA_TYPES, Format
from storage.export.files import SHAPES, NoParquet, encoder_of, exported
from storage.export.read import CallPages
from storage.queries.analytics.conditions import of_calls
from storage.queries.calls import CallFilter

PAGE_ROWS: Final = 250
"""Calls at once: what is done in between keeps the calls that pass the gateway waiting."""
TIMEOUT_S: Final = 60.0
LEFT_OUT: Final = "x-weighbridge-calls-left-out"
FILTERS: Final = tuple(name for name in CallsQuery.model_fields if name not in PAGING)
INSTALL: Final = "pip install pyarrow"


def open_exports(url: str | None, data_dir: Path) -> CallPages:
    """On the database of ``storage.url``. Connects when first asked something."""
    return CallPages(reading_engine(parse(url, data_dir), timeout_s=TIMEOUT_S, pool_size=2), PAGE_ROWS)


class ExportIn(BaseModel):
    """Which calls, and as what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Format = Field(default=Format.CSV)
    shape: Literal["calls", "focus"] = Field(
        default="calls",
        description="One row a call, or the columns of FOCUS 1.2, one row for each part of a cost.",
    )
    filters: dict[str, str | int | bool] = Field(
        default={},
        description=f"As the parameters of GET /api/calls: {', '.join(FILTERS)}.",
    )
    where: Filters = Field(
        default=Filters(),
        description="As the filters of the analytics: lists of values, any of which must hold.",
    )

    def wanted(self) -> CallFilter:
        """The filter of the store. Raises :class:`ApiError` 400."""
        for name in PAGING:
            if name in self.filters:
                raise ApiError(
                    400, "unknown_parameter", f"An export has no {name}.", param=name, allowed=FILTERS
                )
        texts = {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in self.filters.items()
        }
        return parse_calls_query(MultiDict(texts))[1]


class Exports:
    """Handlers over stored calls."""

    def __init__(self, pages: CallPages) -> None:
        self._pages = pages

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                "/api/analytics/export",
                self.send,
                "Calls as a file: CSV, JSON Lines or Parquet, also in the columns of FOCUS",
                None,
                errors=(400, 401, 403, 413, 503),
                method="POST",
                body=ExportIn,
                media=tuple(media.partition(";")[0] for media in MEDIA_TYPES.values()),
            ),
        )

    async def send(self, request: web.Request) -> web.StreamResponse:
        """The file. When the database fails on the way, the connection is cut, so that no half file looks whole."""
        said = await body_of(request, ExportIn)
        scope = tuple(viewer_of(request).scope.items())
        conditions = tuple(of_calls(said.where.where()))
        wanted = msgspec.structs.replace(said.wanted(), scope=scope, conditions=conditions)
        shape = SHAPES[said.shape]
        try:
            encoder = encoder_of(said.format, shape)
        except NoParquet as error:
            message = f"format: {error} on the gateway: {INSTALL}."
            raise ApiError(400, "invalid_body", message, param="format") from error
        name = f"weighbridge-{shape.name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.{said.format.value}"
        headers = {
            "Content-Type": MEDIA_TYPES[said.format],
            "Content-Disposition": f'attachment; filename="{name}"',
        }
        if shape.leaves_out_unpriced:
            headers[LEFT_OUT] = str((await self._pages.extent(wanted)).unpriced)
        pieces = exported(self._pages, wanted, shape, encoder)
        return await streamed(request, headers, pieces)
