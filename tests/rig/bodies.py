"""Provider answers in the shapes the providers use, written for these tests, with the usage they report."""

from __future__ import annotations

import json
from typing import Any


def data_event(payload: Any) -> bytes:
    """``data: {...}`` and an empty line."""
    return b"data: " + json.dumps(payload, separators=(",", ":")).encode() + b"\n\n"


def named_event(name: str, payload: dict[str, Any]) -> bytes:
    """``event: name``, ``data: {...}`` and an empty line; the type is put into the data too."""
    return f"event: {name}\n".encode() + data_event({"type": name, **payload})


DONE = b"data: [DONE]\n\n"

OPENAI_USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": 30,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 10, "audio_tokens": 0},
}


def openai_chat(model: str = "gpt-4o-2024-08-06", text: str = "Twelve tonnes.") -> dict[str, Any]:
    """A chat completion that is not a stream."""
    message = {"role": "assistant", "content": text, "refusal": None}
    return {
        "id": "chatcmpl-rig1",
        "object": "chat.completion",
        "created": 1760000000,
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": OPENAI_USAGE,
        "service_tier": "default",
        "system_fingerprint": "fp_rig",
    }


def openai_events(
    words: tuple[str, ...] = ("Twelve", " ", "tonnes", "."),
    model: str = "gpt-4o-2024-08-06",
    usage: bool = True,
) -> list[bytes]:
    """A chat completion stream; with ``usage`` as after ``include_usage``."""
    frame = {
        "id": "chatcmpl-rig1",
        "object": "chat.completion.chunk",
        "created": 1760000000,
        "model": model,
        "service_tier": "default",
    }
    extra = {"usage": None} if usage else {}
    deltas: list[tuple[dict[str, str], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": word}, None) for word in words]
    deltas.append(({}, "stop"))
    events = [
        data_event({**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **extra})
        for delta, finish in deltas
    ]
    if usage:
        events.append(data_event({**frame, "choices": [], "usage": OPENAI_USAGE}))
    return [*events, DONE]


ANTHROPIC_USAGE = {
    "input_tokens": 50,
    "cache_creation_input_tokens": 6,
    "cache_read_input_tokens": 64,
    "output_tokens": 30,
    "service_tier": "standard",
}


def anthropic_message(
    model: str = "claude-sonnet-4-5-20250929", text: str = "Twelve tonnes."
) -> dict[str, Any]:
    """A message that is not a stream."""
    return {
        "id": "msg_rig1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [{"type": "text", "text": text}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": ANTHROPIC_USAGE,
    }


def anthropic_events(words: tuple[str, ...] = ("Twelve", " tonnes.")) -> list[bytes]:
    """A message stream: input usage in ``message_start``, output usage in ``message_delta``."""
    start = {
        **anthropic_message(),
        "content": [],
        "stop_reason": None,
        "usage": {**ANTHROPIC_USAGE, "output_tokens": 1},
    }
    block = {"index": 0, "content_block": {"type": "text", "text": ""}}
    return [
        named_event("message_start", {"message": start}),
        named_event("content_block_start", block),
        named_event("ping", {}),
        *(
            named_event("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": word}})
            for word in words
        ),
        named_event("content_block_stop", {"index": 0}),
        named_event(
            "message_delta",
            {"delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 30}},
        ),
        named_event("message_stop", {}),
    ]


GEMINI_USAGE = {
    "promptTokenCount": 120,
    "candidatesTokenCount": 20,
    "thoughtsTokenCount": 10,
    "totalTokenCount": 150,
    "cachedContentTokenCount": 64,
}


def gemini_content(text: str = "Twelve tonnes.", finish: str | None = "STOP") -> dict[str, Any]:
    """A ``generateContent`` answer, also one element of a stream."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    return {
        "candidates": [candidate],
        "usageMetadata": GEMINI_USAGE,
        "modelVersion": "gemini-2.5-flash",
        "responseId": "rig1",
    }


def gemini_events(words: tuple[str, ...] = ("Twelve", " tonnes.")) -> list[bytes]:
    """``streamGenerateContent?alt=sse``: CRLF framing, as Gemini sends it."""
    last = len(words) - 1
    parts = [gemini_content(word, "STOP" if i == last else None) for i, word in enumerate(words)]
    return [b"data: " + json.dumps(part).encode() + b"\r\n\r\n" for part in parts]


def openai_error(status_type: str = "rate_limit_exceeded", message: str = "Slow down.") -> dict[str, Any]:
    """An error body of the OpenAI wire."""
    return {"error": {"message": message, "type": "requests", "param": None, "code": status_type}}


def anthropic_error(kind: str = "overloaded_error", message: str = "Overloaded") -> dict[str, Any]:
    """An error body of the Anthropic wire."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_rig1"}
