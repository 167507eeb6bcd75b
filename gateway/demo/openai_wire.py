"""The OpenAI wire of the demo provider: chat completions, embeddings, models."""

from __future__ import annotations

import json
import random
import zlib
from typing import Any

from gateway.demo.replies import Prompt, Reply, Tool, count_tokens

CREATED = 1_760_000_000
"""A fixed moment: the same request gets the same bytes."""
DONE = b"data: [DONE]\n\n"


def data_line(payload: dict[str, Any]) -> bytes:
    """One unnamed server-sent event."""
    return b"data: " + json.dumps(payload, separators=(",", ":")).encode() + b"\n\n"


def text_of(content: Any) -> str:
    """The text in a message's content, plain or in parts."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def read_chat(body: dict[str, Any]) -> Prompt:
    """The prompt of a chat completion request."""
    messages = body.get("messages") or []
    tools = [tool["function"] for tool in body.get("tools") or [] if "function" in tool]
    calls = (
        bool(tools) and messages and messages[-1].get("role") != "tool" and body.get("tool_choice") != "none"
    )
    return Prompt(
        model=str(body.get("model", "")),
        text="\n".join(text_of(message.get("content")) for message in messages),
        stream=bool(body.get("stream")),
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        tool=Tool(tools[0]["name"], tools[0].get("parameters") or {}) if calls else None,
        include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
    )


def usage(reply: Reply) -> dict[str, Any]:
    """Usage as chat completions report it: cached inside prompt, reasoning inside completion."""
    return {
        "prompt_tokens": reply.input,
        "completion_tokens": reply.output,
        "total_tokens": reply.input + reply.output,
        "prompt_tokens_details": {"cached_tokens": reply.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reply.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _finish(reply: Reply) -> str:
    if reply.tool is not None:
        return "tool_calls"
    return "length" if reply.cut else "stop"


def _call(reply: Reply, tool: Tool) -> dict[str, Any]:
    call = {"name": tool.name, "arguments": reply.arguments}
    return {"id": f"call_{reply.id}", "type": "function", "function": call}


def chat_document(reply: Reply) -> dict[str, Any]:
    """A whole chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": None}
    if reply.tool is not None:
        message["tool_calls"] = [_call(reply, reply.tool)]
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _finish(reply)}
    return {
        "id": f"chatcmpl-{reply.id}",
        "object": "chat.completion",
        "created": CREATED,
        "model": reply.model,
        "choices": [choice],
        "usage": usage(reply),
        "service_tier": "default",
        "system_fingerprint": "fp_demo",
    }


def chat_events(reply: Reply, include_usage: bool) -> list[bytes]:
    """A chat completion stream; the usage chunk only when it was asked for, as the provider does."""
    frame: dict[str, Any] = {
        "id": f"chatcmpl-{reply.id}",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": reply.model,
        "service_tier": "default",
        "system_fingerprint": "fp_demo",
    }
    if include_usage:
        frame["usage"] = None
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": "" if reply.pieces else None}]
    if reply.tool is not None:
        call = _call(reply, reply.tool)
        start = {**call, "index": 0, "function": {"name": reply.tool.name, "arguments": ""}}
        half = len(reply.arguments) // 2
        deltas.append({"tool_calls": [start]})
        for part in (reply.arguments[:half], reply.arguments[half:]):
            deltas.append({"tool_calls": [{"index": 0, "function": {"arguments": part}}]})
    deltas += [{"content": piece} for piece in reply.pieces]

    def event(delta: dict[str, Any], finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return data_line({**frame, "choices": [choice]})

    events = [event(delta, None) for delta in deltas]
    events.append(event({}, _finish(reply)))
    if include_usage:
        events.append(data_line({**frame, "choices": [], "usage": usage(reply)}))
    return [*events, DONE]


def embeddings_document(body: dict[str, Any]) -> dict[str, Any]:
    """Small vectors for each input."""
    given = body.get("input", "")
    texts = [str(item) for item in given] if isinstance(given, list) else [str(given)]
    tokens = sum(map(count_tokens, texts))
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": vector(text)}
            for index, text in enumerate(texts)
        ],
        "model": str(body.get("model", "")),
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def vector(text: str, size: int = 16) -> list[float]:
    """Numbers that depend on the text alone."""
    chance = random.Random(zlib.crc32(text.encode()))
    return [round(chance.uniform(-1, 1), 6) for _ in range(size)]


def models_document(names: tuple[str, ...]) -> dict[str, Any]:
    """A model list."""
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": CREATED, "owned_by": "demo"} for name in names],
    }


def error_document(status: int, kind: str, message: str) -> dict[str, Any]:
    """An error in this wire's shape."""
    shape = {401: "invalid_request_error", 404: "invalid_request_error", 429: "requests"}
    return {
        "error": {"message": message, "type": shape.get(status, "server_error"), "param": None, "code": kind}
    }
