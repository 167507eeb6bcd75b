"""``GET /api/docs``: the OpenAPI document to be read and tried, in Swagger UI. Nothing is fetched from anywhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aiohttp import web
from swagger_ui_bundle import swagger_ui_path

from gateway.api.guard import DOCS
from gateway.api.problems import ApiError
from gateway.api.routes import Endpoint

OURS: Final = Path(__file__).parent / "pages"
FILES: Final = {
    "swagger-ui-bundle.js": swagger_ui_path / "swagger-ui-bundle.js",
    "swagger-ui.css": swagger_ui_path / "swagger-ui.css",
    "docs.js": OURS / "docs.js",
    "docs.css": OURS / "docs.css",
}
_HEADERS: Final = {
    # Swagger UI sets styles by itself; scripts come from here alone, and nothing goes elsewhere.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Docs:
    """A page and its files. They hold no data and no secret, so they are open; the document itself is not."""

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(DOCS, self.page, "This document to be read and tried", None, guarded=False, media=("text/html",)),
            Endpoint(
                f"{DOCS}/{{file}}", self.file, "Scripts and styles of that page", None, None, (404,), False,
                media=("text/javascript", "text/css"),
            ),
        )  # fmt: skip

    async def page(self, request: web.Request) -> web.StreamResponse:
        """The page."""
        return web.FileResponse(
            OURS / "docs.html", headers={**_HEADERS, "Content-Type": "text/html; charset=utf-8"}
        )

    async def file(self, request: web.Request) -> web.StreamResponse:
        """One of its files."""
        found = FILES.get(request.match_info["file"])
        if found is None:
            raise ApiError(404, "not_found", f"The page has no such file. There are: {', '.join(FILES)}.")
        kind = "text/css" if found.suffix == ".css" else "text/javascript"
        return web.FileResponse(found, headers={**_HEADERS, "Content-Type": f"{kind}; charset=utf-8"})
