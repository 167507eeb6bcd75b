"""The Anthropic wire of the demo provider: messages, token counting, models."""

from __future__ import annotations

import json
from typing import Any

from gateway.demo.openai_wire import text_of
from gateway.demo.replies import Prompt, Reply, Tool


def read(body: dict[str, Any]) -> Prompt:
    """The prompt of a messages request."""
    messages = body.get("messages") or []
    tools = [tool for tool in body.get("tools") or [] if "input_schema" in tool]
    last = messages[-1].get("content") if messages else None
    told = isinstance(last, list) and any(part.get("type") == "tool_result" for part in last)
    texts = [text_of(body.get("system")), *(text_of(message.get("content")) for message in messages)]
    return Prompt(
        model=str(body.get("model", "")),
        text="\n".join(texts),
        stream=bool(body.get("stream")),
        max_tokens=body.get("max_tokens"),
        tool=Tool(tools[0]["name"], tools[0]["input_schema"]) if tools and not told else None,
    )


def usage(reply: Reply) -> dict[str, Any]:
    """Usage as messages report it: tokens read from the cache are *not* among ``input_tokens``."""
    return {
        "input_tokens": reply.input - reply.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": reply.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
        "output_tokens": reply.output,
        "service_tier": "standard",
    }


def _stop(reply: Reply) -> str:
    if reply.tool is not None:
        return "tool_use"
    return "max_tokens" if reply.cut else "end_turn"


def _block(reply: Reply) -> dict[str, Any]:
    if reply.tool is not None:
        call = {"type": "tool_use", "id": f"toolu_{reply.id}", "name": reply.tool.name}
        return {**call, "input": json.loads(reply.arguments)}
    return {"type": "text", "text": reply.text}


def document(reply: Reply) -> dict[str, Any]:
    """A whole message."""
    return {
        "id": f"msg_{reply.id}",
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": [_block(reply)],
        "stop_reason": _stop(reply),
        "stop_sequence": None,
        "usage": usage(reply),
    }


def events(reply: Reply) -> list[bytes]:
    """A message stream: input usage at the start, output usage at the end, cumulative."""
    early = {**usage(reply), "output_tokens": 1}
    start = {**document(reply), "content": [], "stop_reason": None, "usage": early}
    parts = [_event("message_start", {"message": start})]
    if reply.tool is not None:
        block: dict[str, Any] = {**_block(reply), "input": {}}
        half = len(reply.arguments) // 2
        pieces = ("", reply.arguments[:half], reply.arguments[half:])
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    else:
        block = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": piece} for piece in reply.pieces]
    parts.append(_event("content_block_start", {"index": 0, "content_block": block}))
    parts.append(_event("ping", {}))
    parts += [_event("content_block_delta", {"index": 0, "delta": delta}) for delta in deltas]
    parts.append(_event("content_block_stop", {"index": 0}))
    end = {"stop_reason": _stop(reply), "stop_sequence": None}
    parts.append(_event("message_delta", {"delta": end, "usage": {"output_tokens": reply.output}}))
    parts.append(_event("message_stop", {}))
    return parts


def _event(name: str, payload: dict[str, Any]) -> bytes:
    data = json.dumps({"type": name, **payload}, separators=(",", ":"))
    return f"event: {name}\ndata: {data}\n\n".encode()


def models_document(names: tuple[str, ...]) -> dict[str, Any]:
    """A model list in this wire's shape."""
    created = "2025-10-09T08:53:20Z"
    data = [{"type": "model", "id": name, "display_name": name, "created_at": created} for name in names]
    return {"data": data, "has_more": False, "first_id": names[0], "last_id": names[-1]}


def error_document(status: int, kind: str, message: str) -> dict[str, Any]:
    """An error in this wire's shape."""
    names = {
        400: "invalid_request_error",
        401: "authentication_error",
        404: "not_found_error",
        429: "rate_limit_error",
        529: "overloaded_error",
    }
    error = {"type": names.get(status, "api_error"), "message": message}
    return {"type": "error", "error": error, "request_id": f"req_demo_{kind}"}
