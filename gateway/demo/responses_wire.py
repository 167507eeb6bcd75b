"""The OpenAI Responses wire of the demo provider."""

from __future__ import annotations

import json
from typing import Any

from gateway.demo.openai_wire import CREATED, text_of
from gateway.demo.replies import Prompt, Reply, Tool


def read(body: dict[str, Any]) -> Prompt:
    """The prompt of a Responses request."""
    given = body.get("input", "")
    items = given if isinstance(given, list) else [{"content": given}]
    tools = [tool for tool in body.get("tools") or [] if tool.get("type") == "function"]
    calls = bool(tools) and bool(items) and items[-1].get("type") != "function_call_output"
    texts = [str(body.get("instructions") or ""), *(text_of(item.get("content")) for item in items)]
    return Prompt(
        model=str(body.get("model", "")),
        text="\n".join(texts),
        stream=bool(body.get("stream")),
        max_tokens=body.get("max_output_tokens"),
        tool=Tool(tools[0]["name"], tools[0].get("parameters") or {}) if calls else None,
    )


def usage(reply: Reply) -> dict[str, Any]:
    """Usage as the Responses API reports it."""
    return {
        "input_tokens": reply.input,
        "input_tokens_details": {"cached_tokens": reply.cached, "cache_write_tokens": 0},
        "output_tokens": reply.output,
        "output_tokens_details": {"reasoning_tokens": reply.reasoning},
        "total_tokens": reply.input + reply.output,
    }


def _item(reply: Reply, status: str, text: str) -> dict[str, Any]:
    if reply.tool is not None:
        return {
            "type": "function_call",
            "id": f"fc_{reply.id}",
            "call_id": f"call_{reply.id}",
            "name": reply.tool.name,
            "arguments": reply.arguments if status == "completed" else "",
            "status": status,
        }
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return {
        "type": "message",
        "id": f"msg_{reply.id}",
        "role": "assistant",
        "status": status,
        "content": content if status == "completed" else [],
    }


def document(reply: Reply, status: str | None = None) -> dict[str, Any]:
    """A whole response object; ``status`` "in_progress" gives the one at the start of a stream."""
    state = status or ("incomplete" if reply.cut else "completed")
    over = state != "in_progress"
    return {
        "id": f"resp_{reply.id}",
        "object": "response",
        "created_at": CREATED,
        "status": state,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if reply.cut and over else None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": reply.model,
        "output": [_item(reply, "completed", reply.text)] if over else [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage(reply) if over else None,
        "user": None,
    }


def events(reply: Reply) -> list[bytes]:
    """A Responses stream: named, numbered events, the usage in the last; no ``[DONE]``."""
    parts: list[tuple[str, dict[str, Any]]] = []
    for name in ("response.created", "response.in_progress"):
        parts.append((name, {"response": document(reply, "in_progress")}))
    item = _item(reply, "in_progress", "")
    where = {"item_id": item["id"], "output_index": 0}
    parts.append(("response.output_item.added", {"output_index": 0, "item": item}))
    if reply.tool is not None:
        parts.append(("response.function_call_arguments.delta", {**where, "delta": reply.arguments}))
        done = {**where, "arguments": reply.arguments, "name": reply.tool.name}
        parts.append(("response.function_call_arguments.done", done))
    else:
        where["content_index"] = 0
        empty = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        parts.append(("response.content_part.added", {**where, "part": empty}))
        for piece in reply.pieces:
            parts.append(("response.output_text.delta", {**where, "delta": piece, "logprobs": []}))
        parts.append(("response.output_text.done", {**where, "text": reply.text, "logprobs": []}))
        parts.append(("response.content_part.done", {**where, "part": {**empty, "text": reply.text}}))
    final = {"output_index": 0, "item": _item(reply, "completed", reply.text)}
    parts.append(("response.output_item.done", final))
    end = "response.incomplete" if reply.cut else "response.completed"
    parts.append((end, {"response": document(reply)}))
    return [_event(name, number, payload) for number, (name, payload) in enumerate(parts)]


def _event(name: str, number: int, payload: dict[str, Any]) -> bytes:
    data = json.dumps({"type": name, "sequence_number": number, **payload}, separators=(",", ":"))
    return f"event: {name}\ndata: {data}\n\n".encode()
