"""The Gemini wire of the demo provider: generateContent, streamed as events or as one JSON array."""

from __future__ import annotations

import json
from typing import Any

from gateway.demo.replies import Prompt, Reply, Tool


def _texts(content: Any) -> list[str]:
    parts = (content or {}).get("parts") or []
    return [str(part.get("text", "")) for part in parts if isinstance(part, dict)]


def read(model: str, stream: bool, body: dict[str, Any]) -> Prompt:
    """The prompt of a generateContent request; model and streaming come from the path."""
    contents = body.get("contents") or []
    texts = _texts(body.get("systemInstruction"))
    for content in contents:
        texts += _texts(content)
    declared = [f for tool in body.get("tools") or [] for f in tool.get("functionDeclarations") or []]
    last = (contents[-1].get("parts") or []) if contents else []
    told = any("functionResponse" in part for part in last)
    tool = None
    if declared and not told:
        schema = declared[0].get("parameters") or declared[0].get("parametersJsonSchema") or {}
        tool = Tool(declared[0]["name"], schema)
    limit = (body.get("generationConfig") or {}).get("maxOutputTokens")
    return Prompt(model=model, text="\n".join(texts), stream=stream, max_tokens=limit, tool=tool)


def usage(reply: Reply) -> dict[str, Any]:
    """Usage as Gemini reports it: thoughts are *not* among the candidates' tokens."""
    counts: dict[str, Any] = {
        "promptTokenCount": reply.input,
        "candidatesTokenCount": reply.output - reply.reasoning,
        "totalTokenCount": reply.input + reply.output,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": reply.input}],
    }
    if reply.reasoning:
        counts["thoughtsTokenCount"] = reply.reasoning
    if reply.cached:
        counts["cachedContentTokenCount"] = reply.cached
        counts["cacheTokensDetails"] = [{"modality": "TEXT", "tokenCount": reply.cached}]
    return counts


def _content(reply: Reply, part: dict[str, Any], last: bool) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": [part], "role": "model"}, "index": 0}
    if last:
        candidate["finishReason"] = "MAX_TOKENS" if reply.cut else "STOP"
    return {
        "candidates": [candidate],
        "usageMetadata": usage(reply),
        "modelVersion": reply.model,
        "responseId": reply.id,
    }


def _parts(reply: Reply) -> list[dict[str, Any]]:
    if reply.tool is not None:
        return [{"functionCall": {"name": reply.tool.name, "args": json.loads(reply.arguments)}}]
    return [{"text": piece} for piece in reply.pieces] or [{"text": ""}]


def document(reply: Reply) -> dict[str, Any]:
    """A whole answer."""
    part = {"text": reply.text} if reply.tool is None else _parts(reply)[0]
    return _content(reply, part, last=True)


def events(reply: Reply, sse: bool) -> list[bytes]:
    """A stream: events with CRLF (``alt=sse``), else the elements of one JSON array."""
    parts = _parts(reply)
    payloads = [
        json.dumps(_content(reply, part, last=number == len(parts) - 1)).encode()
        for number, part in enumerate(parts)
    ]
    if sse:
        return [b"data: " + payload + b"\r\n\r\n" for payload in payloads]
    opened = [(b"[" if number == 0 else b",\r\n") + payload for number, payload in enumerate(payloads)]
    return [*opened, b"]"]


def models_document(names: tuple[str, ...]) -> dict[str, Any]:
    """A model list in this wire's shape."""
    return {"models": [{"name": f"models/{name}", "displayName": name} for name in names]}


def error_document(status: int, kind: str, message: str) -> dict[str, Any]:
    """An error in this wire's shape."""
    names = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED"}
    return {"error": {"code": status, "message": message, "status": names.get(status, "INTERNAL")}}
