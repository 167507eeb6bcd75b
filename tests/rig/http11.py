"""Just enough HTTP/1.1 to look at exact bytes: lenient, keeps everything as it came."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

Headers = list[tuple[str, str]]


@dataclasses.dataclass
class Head:
    """A start line and its headers. ``raw`` ends with the empty line."""

    raw: bytes
    start: str
    headers: Headers

    def get(self, name: str, default: str | None = None) -> str | None:
        """First value of a header, whatever the case of its name."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), default)

    def all(self, name: str) -> list[str]:
        """Every value of a header, in order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def chunked(self) -> bool:
        return "chunked" in (self.get("transfer-encoding") or "").lower()

    @property
    def length(self) -> int | None:
        value = self.get("content-length")
        return int(value) if value is not None and value.strip().isdigit() else None


def parse_head(raw: bytes) -> Head:
    """Parses ``raw`` (up to and including the empty line)."""
    start, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Head(raw, start, [(name, value.strip()) for name, _, value in pairs])


class Dechunker:
    """Takes chunked framing apart. ``raw`` and ``body`` hold what was seen; ``done`` after the trailer."""

    def __init__(self) -> None:
        self.raw = bytearray()
        self.body = bytearray()
        self.chunks: list[bytes] = []
        self.done = False
        self._pending = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Consumes framing from ``data``; returns what lies behind the end of the message."""
        self._pending += data
        while not self.done and self._step():
            pass
        if not self.done:
            return b""
        rest = bytes(self._pending)
        self._pending.clear()
        return rest

    def _step(self) -> bool:
        line = self._pending.find(b"\r\n")
        if line < 0:
            return False
        size, start = int(self._pending[:line].split(b";")[0], 16), line + 2
        if size == 0:
            return self._trailer(line)
        if len(self._pending) < start + size + 2:
            return False
        self.chunks.append(bytes(self._pending[start : start + size]))
        self.body += self.chunks[-1]
        self._take(start + size + 2)
        return True

    def _trailer(self, line: int) -> bool:
        if self._pending.startswith(b"\r\n", line + 2):
            self._take(line + 4)
        else:
            end = self._pending.find(b"\r\n\r\n", line + 2)
            if end < 0:
                return False
            self._take(end + 4)
        self.done = True
        return True

    def _take(self, count: int) -> None:
        self.raw += self._pending[:count]
        del self._pending[:count]

    def remains(self) -> bytes:
        """Bytes of a message that broke off: read, but no whole chunk."""
        return bytes(self._pending)


def chunk(data: bytes) -> bytes:
    """``data`` as one HTTP chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def request_bytes(
    method: str,
    target: str,
    headers: Headers | None = None,
    body: bytes | None = None,
    json_body: Any = None,
    host: str = "gateway.test",
    chunked: bool = False,
) -> bytes:
    """One request. A ``content-length`` is added unless the headers frame the body themselves."""
    lines: Headers = [("Host", host), *(headers or [])]
    names = {name.lower() for name, _ in lines}
    if json_body is not None:
        body = json.dumps(json_body).encode()
        if "content-type" not in names:
            lines.append(("Content-Type", "application/json"))
    if chunked:
        lines.append(("Transfer-Encoding", "chunked"))
        body = chunk(body or b"") + LAST_CHUNK
    elif body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(("Content-Length", str(len(body))))
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines)
    return head.encode("latin-1") + b"\r\n" + (body or b"")
