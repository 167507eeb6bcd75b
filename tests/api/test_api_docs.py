"""The page that shows the OpenAPI document: open, without data, and nothing of it from elsewhere."""

from __future__ import annotations

import re

from gateway.api.analytics.costs import CostsQuery
from gateway.api.analytics.query import Filters
from gateway.api.docs import FILES, OURS, Docs
from gateway.api.guard import DOCS
from gateway.api.openapi import document
from gateway.api.routes import Endpoint

from .conftest import Connect
from .control import ADMIN, ADMIN_TOKEN


async def test_the_page_and_its_files_are_open_and_the_document_is_not(connect: Connect) -> None:
    client = await connect(admin_token=ADMIN_TOKEN, loopback=False)
    page = await client.get(DOCS)
    assert (page.status, page.content_type) == (200, "text/html")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    wanted = set(re.findall(r'(?:src|href)="([^"]+)"', await page.text())) - {"data:,", "/api/openapi.json"}
    assert wanted == {f"{DOCS}/{name}" for name in FILES}
    for path in wanted:
        answer = await client.get(path)
        assert answer.status == 200
        assert answer.content_type in ("text/javascript", "text/css")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (await client.get("/api/openapi.json")).status == 401
    assert (await client.get("/api/openapi.json", headers=ADMIN)).status == 200


async def test_there_are_no_other_files(connect: Connect) -> None:
    client = await connect()
    for name in ("docs.html", "..%2Fapp.py", "%2e%2e%2fapp.py", "swagger-ui.css.map"):
        answer = await client.get(f"{DOCS}/{name}")
        assert (answer.status, (await answer.json())["error"]["code"]) == (404, "not_found")


async def test_what_begins_like_the_page_is_guarded(connect: Connect) -> None:
    client = await connect(admin_token=ADMIN_TOKEN)
    for path in ("/api/docsx", "/api/docs.json", "/api/calls"):
        assert (await client.get(path)).status == 401


def test_our_own_files_name_no_other_host() -> None:
    for path in OURS.iterdir():
        assert "//" not in path.read_text(encoding="utf-8").replace("<!doctype html>", "")


def test_parameters_of_an_endpoint_come_before_those_that_all_have() -> None:
    """Filters are many, and the page shows parameters in this order."""
    endpoint = Endpoint("/api/costs", Docs().page, "", None, CostsQuery)
    names = [one["name"] for one in document([endpoint], "1")["paths"]["/api/costs"]["get"]["parameters"]]
    assert names[:3] == ["forecast", "group_by", "limit"]
    assert names[-1] == list(Filters.model_fields)[-1]
    assert sorted(names) == sorted(CostsQuery.model_fields)


async def test_what_is_no_json_says_so(connect: Connect) -> None:
    told = await (await (await connect()).get("/api/openapi.json")).json()
    for path, media in (("/api/docs", "text/html"), ("/metrics", "text/plain")):
        operation = told["paths"][path]["get"]
        assert list(operation["responses"]["200"]["content"]) == [media]
        assert len(operation["tags"]) == 1
