"""Vertex ``rawPredict`` and ``streamRawPredict``: the body is the publisher's own (Anthropic's, Mistral's OCR, else
OpenAI's shape). The model is in the path."""

from __future__ import annotations

from gateway.wire.anthropic_messages import MessagesReader
from gateway.wire.asking import of_body
from gateway.wire.contract import AskFields, Exchanged, Reader, Wire
from gateway.wire.errors import anthropic_error
from gateway.wire.gemini_generate import model_of
from gateway.wire.mistral_ocr import OcrReader
from gateway.wire.openai_chat import ChatReader
from gateway.wire.paths import plain

_COUNT = "/count-tokens:rawPredict"


def read_ask(path: str, query: str, body: bytes) -> AskFields:
    del query
    streamed = plain(path).endswith(":streamRawPredict")
    return of_body(body, model=model_of(path), stream=True if streamed else None)


def matches(method: str, path: str) -> bool:
    short = plain(path)
    return (
        method == "POST"
        and short.endswith((":rawPredict", ":streamRawPredict"))
        and not short.endswith(_COUNT)
    )


def reader(call: Exchanged) -> Reader:
    if "/anthropic/" in call.path:
        return MessagesReader(call)
    if "/mistralai/" in call.path and "-ocr" in (call.ask.model or ""):
        return OcrReader(call)
    return ChatReader(call)


WIRE = Wire("vertex_raw_predict", "chat", matches, read_ask, reader, anthropic_error)
