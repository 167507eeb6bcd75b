"""What the settings of telemetry and limits come to: sampling, names, trace context for the provider, the tap's size."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from rig.bodies import openai_chat
from rig.client import call
from rig.gateway import settings_for
from rig.script import reply
from rig.upstream import ScriptedUpstream

from gateway.app import Gateway, running, tap_limits
from gateway.reloads import secrets_of
from gateway.serve import log_to_stderr
from gateway.settings import load
from telemetry import names
from telemetry.propagation import parse_traceparent

CHAT = "/openai/v1/chat/completions"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
HEADERS = [("traceparent", PARENT), ("tracestate", "vendor=1")]
NOWHERE = {"endpoint": "http://127.0.0.1:9"}


async def _sent(tmp_path: Path, **sections: Any) -> tuple[str | None, str | None]:
    """``traceparent`` and ``tracestate`` as the provider saw them."""
    async with ScriptedUpstream(reply(json=openai_chat())) as upstream:
        async with running(settings_for(tmp_path, upstream.base, ("openai",), **sections)) as gateway:
            assert (await call(gateway.port, "POST", CHAT, HEADERS, json={"model": "gpt-4o"})).status == 200
        seen = upstream.requests[0]
        assert len(seen.head.all("traceparent")) < 2
        return seen.header("traceparent"), seen.header("tracestate")


async def test_trace_context_stays_here_unless_asked_for(tmp_path: Path) -> None:
    assert await _sent(tmp_path) == (None, None)
    assert await _sent(tmp_path, telemetry=NOWHERE) == (None, None)


async def test_without_spans_of_ours_the_apps_own_context_is_passed_on(tmp_path: Path) -> None:
    assert await _sent(tmp_path, proxy={"forward_traceparent": True}) == (PARENT, "vendor=1")


async def test_with_spans_of_ours_the_provider_continues_our_span(tmp_path: Path) -> None:
    parent, state = await _sent(tmp_path, proxy={"forward_traceparent": True}, telemetry=NOWHERE)
    assert parent is not None
    context = parse_traceparent(parent.encode())
    assert context is not None
    assert context.trace_id == int(TRACE, 16)
    assert context.span_id != int("b7ad6b7169203331", 16)
    assert context.sampled
    assert state == "vendor=1"


async def test_the_sample_ratio_decides_on_traces_begun_here(tmp_path: Path) -> None:
    async with ScriptedUpstream(reply(json=openai_chat())) as upstream:
        telemetry = {**NOWHERE, "sample_ratio": 0.0}
        settings = settings_for(tmp_path, upstream.base, ("openai",), telemetry=telemetry)
        async with running(settings) as gateway:
            kept: list[Any] = []
            gateway.telemetry.put = kept.append
            for headers in ([], HEADERS):
                await call(gateway.port, "POST", CHAT, headers, json={"model": "gpt-4o"})
        assert [record.trace.sampled for record in kept] == [False, True]  # a caller's own decision stands


def test_style_of_spans(tmp_path: Path) -> None:
    sections = {"providers": {"house": {"base_url": "http://127.0.0.1:9", "kind": "azure"}}}
    plain = Gateway(load(None, {"storage": {"data_dir": tmp_path}, **sections}))
    style = plain.telemetry.plan.span_style
    assert style.provider_names["house"] == "azure.ai.openai"
    assert {
        name: style.provider_names[name] for name in names.PROVIDER_NAMES if name in style.provider_names
    } == {name: told for name, told in names.PROVIDER_NAMES.items() if name in style.provider_names}
    assert len(style.cost) == 1
    without = Gateway(settings_for(tmp_path, "http://127.0.0.1:9", (), telemetry={"compat_cost": False}))
    assert without.telemetry.plan.span_style.cost == frozenset()


async def test_the_tap_holds_no_more_than_it_may(tmp_path: Path) -> None:
    body = openai_chat(text="x" * 20_000)
    async with ScriptedUpstream(reply(json=body)) as upstream:
        settings = settings_for(tmp_path, upstream.base, ("openai",), limits={"tap_bytes": 4096})
        assert tap_limits(settings).document == tap_limits(settings).event == 4096
        async with running(settings) as gateway:
            answer = await call(gateway.port, "POST", CHAT, json={"model": "gpt-4o"})
    assert answer.json() == body
    assert answer.header("x-weighbridge-cost-status") == "priced"  # both ends of it were read


def test_every_configured_secret_is_masked_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KEY_OF_OURS", "env-key-0123456789")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=otel-key-0123456789")
    settings = load(
        None,
        {
            "providers": {
                "openai": {"api_key_env": "KEY_OF_OURS"},
                "mistral": {"api_key": "file-key-0123456789"},
            },
            "telemetry": NOWHERE,
            "auth": {"admin_token": "admin-key-0123456789"},
            "storage": {"data_dir": tmp_path, "url": "postgresql://me:db%2Dkey-0123456789@127.0.0.1/x"},
        },
    )
    found = secrets_of(Gateway(settings))
    assert found == {f"{name}-key-0123456789" for name in ("env", "otel", "file", "admin", "db")}
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        redactor = log_to_stderr()
        redactor.register(*found)
        logging.getLogger("any.where").error("all of them: %s", " ".join(found))
        logging.getLogger("alembic.runtime").info("not told")
    finally:
        root.handlers[:], level = before
        root.setLevel(level)
    told = capsys.readouterr().err
    assert "all of them: *** *** *** *** ***" in told
    assert "not told" not in told
