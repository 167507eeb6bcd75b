"""Signing requests for AWS: Signature Version 4, with credentials the gateway holds.

A signature covers the host, so an app that signs for the gateway's address can't be passed on as it is: its own
signature stays here and a new one goes upstream. Calls with a Bedrock API key (``Authorization: Bearer``) need none.
Source: AWS IAM user guide, "Create a signed AWS API request"; held against ``botocore`` by a test.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from posixpath import normpath
from typing import Final
from urllib.parse import quote

from pydantic import SecretStr

ALGORITHM: Final = "AWS4-HMAC-SHA256"
OWN_LINES: Final = frozenset(
    (b"authorization", b"x-amz-date", b"x-amz-security-token", b"x-amz-content-sha256", b"x-api-key")
)
"""Header lines of an app's own signature; they stay here."""
_NANO: Final = 1_000_000_000


class Signer:
    """Signs for one service in one region."""

    def __init__(
        self, key_id: str, secret: SecretStr, token: SecretStr | None, *, region: str, service: str
    ) -> None:
        self._key_id = key_id
        self._secret = secret
        self._token = token
        self._region = region
        self._service = service
        self._day = ""
        self._day_key = b""

    def applies(self, seen: Mapping[bytes, bytes]) -> bool:
        """Is this call to be signed by us? Not one that brings a bearer key of its own."""
        return not seen.get(b"authorization", b"").lower().startswith(b"bearer ")

    def lines(self, method: str, target: bytes, host: bytes, body: bytes, now_ns: int) -> bytes:
        """Whole header lines of the signature, each ended by CRLF; ``target`` and ``host`` as they are sent."""
        moment = datetime.fromtimestamp(now_ns // _NANO, UTC)
        stamp = f"{moment:%Y%m%dT%H%M%SZ}"
        digest = hashlib.sha256(body).hexdigest()
        signed = {
            "host": host.decode("latin-1"),
            "x-amz-content-sha256": digest,
            "x-amz-date": stamp,
        }
        if self._token is not None:
            signed["x-amz-security-token"] = self._token.get_secret_value()
        names = ";".join(signed)
        path, _, query = target.decode("latin-1").partition("?")
        canonical = "\n".join(
            (
                method,
                canonical_path(path),
                canonical_query(query),
                *(f"{name}:{value}" for name, value in signed.items()),
                "",
                names,
                digest,
            )
        )
        scope = f"{stamp[:8]}/{self._region}/{self._service}/aws4_request"
        hashed = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
        signature = hmac.new(
            self._key_of(stamp[:8]), f"{ALGORITHM}\n{stamp}\n{scope}\n{hashed}".encode(), hashlib.sha256
        ).hexdigest()
        credential = (
            f"{ALGORITHM} Credential={self._key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
        )
        told = [f"Authorization: {credential}"]
        told += [f"{name}: {value}" for name, value in signed.items() if name != "host"]
        return "".join(f"{line}\r\n" for line in told).encode("latin-1")

    def _key_of(self, day: str) -> bytes:
        """The signing key of a day; four hashes, so it is kept."""
        if day != self._day:
            key = f"AWS4{self._secret.get_secret_value()}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            self._day, self._day_key = day, key
        return self._day_key


def canonical_path(path: str) -> str:
    """The path as it is signed: dot segments and double slashes resolved, and what is escaped escaped once more."""
    clean = normpath(path) if path else "/"
    if clean.startswith("//"):
        clean = clean[1:]
    if path.endswith("/") and clean != "/":
        clean += "/"
    return quote(clean.encode("latin-1"), safe="/~")


def canonical_query(query: str) -> str:
    """The query as it is signed: sorted by name and value, as escaped as it came."""
    pairs = sorted(pair.partition("=")[::2] for pair in query.split("&")) if query else []
    return "&".join(f"{name}={value}" for name, value in pairs)
