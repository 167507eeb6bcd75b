"""Loads the recordings under ``fixtures/<wire>/``: an exchange in the shape of a wire, written by hand, with what it
has to be read as. ``expect`` holds only what differs from an empty ``Reading``."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import brotli
import msgspec
import zstandard

from gateway.wire.contract import AskFields, Exchanged, Reading, Wire
from gateway.wire.registry import WIRES
from gateway.wire.tap import Tap, TapLimits
from pricing.usage import Part, Usage

FIXTURES = Path(__file__).parent / "fixtures"
ENCODINGS = ("", "gzip", "deflate", "br", "zstd")


class Recording:
    def __init__(self, path: Path) -> None:
        data: dict[str, Any] = json.loads(path.read_text("utf-8"))
        self.id = f"{path.parent.name}/{path.stem}"
        self.wire_name = path.parent.name
        self.wire: Wire = WIRES.get(self.wire_name)
        self.method: str = data["method"]
        self.path: str = data["path"]
        self.query: str = data.get("query", "")
        self.provider: str = data.get("provider", "")
        self.status: int = data["status"]
        self.headers: dict[str, str] = data["headers"]
        self.finished: bool | None = data.get("finished")
        self.ask_expected: dict[str, Any] = data.get("ask", {})
        self.expect: dict[str, Any] = data["expect"]
        self.body = (
            base64.b64decode(data["body_b64"]) if "body_b64" in data else data.get("body", "").encode()
        )
        if "request_text" in data:
            self.request = data["request_text"].encode()
        else:
            self.request = json.dumps(data["request"]).encode() if "request" in data else b""

    @property
    def is_json(self) -> bool:
        """The body is one document, and whole."""
        try:
            return isinstance(json.loads(self.body), dict | list)
        except ValueError:
            return False

    def ask(self) -> AskFields:
        return self.wire.read_ask(self.path, self.query, self.request)

    def tap(self, encoding: str = "", keep_text: int = 0) -> Tap:
        headers = tuple((name.encode(), value.encode()) for name, value in self.headers.items())
        call = Exchanged(
            self.method,
            self.path,
            self.query,
            self.ask(),
            self.status,
            headers,
            self.request,
            self.provider,
        )
        limits = TapLimits(keep_text=keep_text)
        return Tap(self.wire, call, self.headers.get("content-type", ""), encoding, limits)

    def expected(self) -> Reading:
        given = dict(self.expect)
        for name in ("usage", "job_usage"):
            if name in given:
                given[name] = Usage(**given[name])
        if "also" in given:
            given["also"] = tuple(Part(model, Usage(**usage), *more) for model, usage, *more in given["also"])
        if "finish_reasons" in given:
            given["finish_reasons"] = tuple(given["finish_reasons"])
        return Reading(**given)

    def read(self, pieces: list[bytes], encoding: str = "") -> tuple[Reading, Tap]:
        """The reading without its raw usage, and the tap it came from."""
        tap = self.tap(encoding)
        for piece in pieces:
            tap.feed(piece)
        tap.end()
        return msgspec.structs.replace(tap.reading(), usage_raw=None), tap


def compressed(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.compress(body)
    if encoding == "deflate":
        return zlib.compress(body)
    if encoding == "br":
        return brotli.compress(body)
    if encoding == "zstd":
        return zstandard.ZstdCompressor().compress(body)
    return body


def all_recordings() -> list[Recording]:
    return [Recording(path) for path in sorted(FIXTURES.glob("*/*.json"))]
