"""Who may ask the API, what the probes say, and that errors have one shape."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from gateway.api.app import Health
from gateway.api.guard import is_loopback_name
from gateway.api.viewer import Viewer
from storage.control import ControlUnavailable

from .conftest import Connect

TOKEN = SecretStr("correct horse")


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer correct horse"},
        {"authorization": "bearer  correct horse "},
        {"x-weighbridge-admin-token": "correct horse"},
        {"X-Weighbridge-Admin-Token": "correct horse", "Authorization": "Bearer other"},
    ],
)
async def test_the_token_opens(connect: Connect, headers: dict[str, str]) -> None:
    for loopback in (True, False):
        client = await connect(admin_token=TOKEN, loopback=loopback)
        assert (await client.get("/api/calls", headers=headers)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "Basic correct horse"},
        {"x-weighbridge-admin-token": ""},
        {"x-weighbridge-admin-token": "wrong", "Authorization": "Bearer correct horse"},
        {"x-weighbridge-admin-token": "côrrect"},
    ],
)
@pytest.mark.parametrize("path", ["/api/calls", "/api/openapi.json", "/api/nothing", "/api/"])
async def test_nothing_else_does(connect: Connect, headers: dict[str, str], path: str) -> None:
    answer = await (await connect(admin_token=TOKEN)).get(path, headers=headers)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    text = await answer.text()
    assert '"code":"unauthorized"' in text
    assert "horse" not in text


@pytest.mark.parametrize("loopback", [True, False])
@pytest.mark.parametrize("admin_token", [None, TOKEN])
async def test_a_token_that_may_read_is_judged_also_where_none_is_needed(
    connect: Connect, loopback: bool, admin_token: SecretStr | None
) -> None:
    async def tokens(told: str) -> Viewer | None:
        return Viewer("ann", tenant="acme") if told == "wbt_good" else None

    client = await connect(tokens=tokens, loopback=loopback, admin_token=admin_token)
    for headers in ({"Authorization": "Bearer wbt_gone"}, {"x-weighbridge-admin-token": "wbt_gone"}):
        answer = await client.get("/api/calls", headers=headers)
        assert (answer.status, (await answer.json())["error"]["code"]) == (401, "unauthorized")
    good = {"Authorization": "Bearer wbt_good"}
    assert (await client.get("/api/calls", headers=good)).status == 200
    assert (await client.get("/api/integrity", headers=good)).status == 403
    unknown = await client.get("/api/calls", headers={"Authorization": "Bearer sk-of-an-app"})
    assert unknown.status == (401 if admin_token else 200 if loopback else 403)


async def test_tokens_that_are_not_known_yet_can_be_tried_again(connect: Connect) -> None:
    async def tokens(told: str) -> Viewer | None:
        raise ControlUnavailable("the tokens are not known yet")

    answer = await (await connect(tokens=tokens)).get("/api/calls", headers={"Authorization": "Bearer wbt_x"})
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


async def test_a_token_that_is_none_of_ours_is_told_from_none(connect: Connect) -> None:
    client = await connect(admin_token=TOKEN)
    for headers, said in (
        ({}, "A token is needed: "),
        ({"Authorization": "Bearer wrong"}, "not the gateway's"),
    ):
        answer = await client.get("/api/calls", headers=headers)
        assert answer.status == 401
        assert said in (await answer.json())["error"]["message"]


async def test_without_a_token_other_machines_get_nothing(connect: Connect) -> None:
    answer = await (await connect(loopback=False)).get("/api/calls")
    assert answer.status == 403
    assert "WEIGHBRIDGE_ADMIN_TOKEN" in (await answer.json())["error"]["message"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:8707"}, 200),
        ({"Host": "127.0.0.1"}, 200),
        ({"Host": "127.0.0.9:1"}, 200),
        ({"Host": "[::1]:8707"}, 200),
        ({"Host": "localhost:1", "Origin": "http://localhost:3000"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:8707"}, 403),
        ({"Host": "127.0.0.1@evil.example"}, 403),
        ({"Host": "10.0.0.1"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": "localhost", "Origin": "http://evil.example"}, 403),
        ({"Host": "localhost", "Origin": "null"}, 403),
    ],
)
async def test_without_a_token_only_this_machine_is_answered(
    connect: Connect, headers: dict[str, str], status: int
) -> None:
    answer = await (await connect()).get("/api/calls", headers=headers)
    assert answer.status == status


def test_loopback_names() -> None:
    assert is_loopback_name("LOCALHOST")
    assert not is_loopback_name("0.0.0.0")


async def test_probes_are_open_and_stay_green_without_the_database(connect: Connect) -> None:
    client = await connect(
        admin_token=TOKEN, loopback=False, health=lambda: Health(True, "database: connection refused")
    )
    assert await (await client.get("/healthz")).json() == {"status": "ok", "version": "1.2.3"}
    ready = await client.get("/readyz", headers={"Host": "10.1.2.3"})
    assert (ready.status, await ready.json()) == (
        200,
        {"status": "ready", "degraded": True, "reason": "database: connection refused"},
    )
    assert (await (await client.get("/")).json())["base_urls"] == {"openai": "/openai/v1"}


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/calls", "/api/nothing", "/api/docs", "/metrics"])
async def test_no_answer_tells_what_it_is_made_with(connect: Connect, path: str) -> None:
    answer = await (await connect(admin_token=TOKEN)).get(path)
    assert answer.headers["Server"] == "weighbridge"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/api/nothing", 404, "not_found"),
        ("GET", "/api", 404, "not_found"),
        ("POST", "/api/calls", 405, "method_not_allowed"),
        ("DELETE", "/healthz", 405, "method_not_allowed"),
    ],
)
async def test_every_error_is_json(connect: Connect, method: str, path: str, status: int, code: str) -> None:
    answer = await (await connect()).request(method, path)
    assert (answer.status, answer.content_type) == (status, "application/json")
    assert (await answer.json())["error"]["code"] == code


async def test_a_defect_is_logged_and_not_told(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Any:
        raise RuntimeError("secret details")

    answer = await (await connect(health=broken)).get("/readyz")
    assert (answer.status, (await answer.json())["error"]["code"]) == (500, "internal_error")
    assert "secret details" not in await answer.text()
    assert "secret details" in caplog.text


async def test_the_document_describes_what_is_served(connect: Connect) -> None:
    client = await connect()
    document = await (await client.get("/api/openapi.json")).json()
    served = {
        resource.canonical
        for resource in client.app.router.resources()  # type: ignore[union-attr]
    }
    assert set(document["paths"]) == served
    listing = document["paths"]["/api/calls"]["get"]
    assert {"provider", "limit", "cursor"} <= {parameter["name"] for parameter in listing["parameters"]}
    assert all(parameter["description"] for parameter in listing["parameters"])
    assert "timeout" in next(p for p in listing["parameters"] if p["name"] == "outcome")["schema"]["enum"]
    references = {
        text.split('"')[0] for text in str(document).replace("'", '"').split("#/components/schemas/")[1:]
    }
    assert references <= set(document["components"]["schemas"])
