"""One place where secrets are taken out of text: provider keys, gateway keys, tokens, passwords in URLs.

Everything that leaves as text for people (log lines, error messages, debug output) goes through
:class:`Redactor`. It masks what *looks* like a credential, wherever it stands, and every value registered as
one. It errs on the side of masking too much.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

MASK: Final = "***"
_MIN_SECRET: Final = 6
"""Shorter registered values are ignored: masking them would mask ordinary words."""

_AWS_KEY: Final = re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{12,}")
_WEB_TOKEN: Final = re.compile(
    r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_\-]{6,}\.[A-Za-z0-9_\-]{4,}(?:\.[A-Za-z0-9_\-]*)?"
)
_PREFIXED: Final = re.compile(
    r"(?<![A-Za-z0-9])"
    r"(sk-|wb[kt]_|gsk_|pplx-|xai-|csk-|fw_|tgp_v1_|hf_|r8_|nvapi-|ghp_|github_pat_|whsec_|ya29\.|AIza|AQ\.)"
    r"[A-Za-z0-9_\-.*]{8,}"
)
"""Keys of providers, and our own, by their prefix."""

_SCHEMES: Final = re.compile(
    r"\b(?P<scheme>bearer(?:\s+|%20)|basic\s+(?=\S{16}))[A-Za-z0-9._~+/=\-]{8,}", re.IGNORECASE
)

# Repeats are bounded so that hostile text costs linear time.
_SECRET_NAMES: Final = (
    r"(?:proxy-)?authorization|(?:[a-z]{1,20}-){0,4}api[_-]?key|x-(?:[a-z]{1,20}-){0,4}(?:key|token|secret)"
    r"|helicone-auth|x-bf-vk|(?:access|refresh|id|session|auth|security)[_-]?token|client[_-]?secret"
    r"|secret(?:[_-](?:access[_-])?key)?|password|passwd|private[_-]?key"
)
_FIELDS: Final = re.compile(
    # name, then quotes and separators as in headers, JSON, and the repr of dicts and header tuples
    rf"(?P<name>(?<![a-z0-9])(?:[a-z]{{1,20}}_){{0,4}}(?:{_SECRET_NAMES})\\?[\"']?\s*[:=,]\s*(?:b(?=[\"']))?)"
    # a quoted value that is cut off counts as quoted to the end
    r"(?:(?P<quote>\\?[\"'])(?P<quoted>(?:\\.|.)+?)(?P<close>(?P=quote)|\Z)"
    r"|(?P<scheme>(?:bearer|basic|digest|apikey|token|aws4-hmac-sha256)\s+)?(?P<bare>[^\s\"',;&})\]\\]+))",
    re.IGNORECASE | re.DOTALL,
)
_LINES: Final = re.compile(r"\b((?:set-)?cookie\s*:\s*)[^\r\n\"']+", re.IGNORECASE)
_PEM: Final = re.compile(r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----).*?(-----END|\Z)", re.DOTALL)
_QUERY: Final = re.compile(
    r"(?P<name>[?&](?:key|sig|signature|token|secret|password|x-amz-(?:signature|credential|security-token)"
    r"|(?:[a-z]{1,20}[_-]){0,4}(?:api[_-]?key|token))=)[^&\s\"'<>#\\]+",
    re.IGNORECASE,
)
_AWS: Final = re.compile(r"\b(Signature|Credential)=[A-Za-z0-9/+=_\-]{8,}")
_USERINFO: Final = re.compile(r"://[^\s/@\"'?#]{1,512}@")


class Redactor:
    """Masks secrets in text. Registered values live as long as the redactor; there is one per process."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self._registered: re.Pattern[str] | None = None
        self.register(*secrets)

    def register(self, *secrets: str | None) -> None:
        """Masks these values too, as they are and percent-escaped. Very short values are ignored."""
        known = len(self._secrets)
        for secret in secrets:
            if secret is not None and len(secret) >= _MIN_SECRET:
                self._secrets.update((secret, quote(secret, safe=""), repr(secret)[1:-1]))
        if len(self._secrets) != known:
            longest_first = sorted(self._secrets, key=lambda secret: (-len(secret), secret))
            self._registered = re.compile("|".join(map(re.escape, longest_first)))

    def text(self, text: str) -> str:
        """``text`` with every credential replaced by ``***``."""
        if self._registered is not None:
            text = self._registered.sub(MASK, text)
        text = _PEM.sub(rf"\1{MASK}\2", text)
        text = _USERINFO.sub(f"://{MASK}@", text)
        text = _QUERY.sub(rf"\g<name>{MASK}", text)
        text = _FIELDS.sub(_mask_field, text)
        text = _LINES.sub(rf"\1{MASK}", text)
        text = _SCHEMES.sub(rf"\g<scheme>{MASK}", text)
        text = _AWS.sub(rf"\1={MASK}", text)
        text = _AWS_KEY.sub(MASK, text)
        text = _WEB_TOKEN.sub(MASK, text)
        return _PREFIXED.sub(rf"\1{MASK}", text)


class RedactingFilter(logging.Filter):
    """Masks secrets in every record that passes a handler: message, arguments, exception text, extra fields.

    It has to sit on the handlers: a filter on a logger does not see what its children log.
    """

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrites the record in place; never refuses one, never raises for one that cannot be formatted."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):
            message = f"{record.msg!r} with arguments {record.args!r}"
        record.msg = self._redactor.text(message)
        record.args = None
        if record.exc_info and not record.exc_text and record.exc_info[0] is not None:
            record.exc_text = "".join(traceback.format_exception(*record.exc_info)).rstrip("\n")
        if record.exc_text:
            record.exc_text = self._redactor.text(record.exc_text)
        # The traceback itself would let a formatter print the secret anew; its text stays in ``exc_text``.
        record.exc_info = None
        if record.stack_info:
            record.stack_info = self._redactor.text(record.stack_info)
        for name, value in record.__dict__.items():
            if name not in _STANDARD_FIELDS:
                record.__dict__[name] = self._clean(value)
        return True

    def _clean(self, value: object) -> object:
        if value is None or isinstance(value, int | float):
            return value
        return self._redactor.text(value if isinstance(value, str) else repr(value))


def install(redactor: Redactor, handlers: Iterable[logging.Handler]) -> RedactingFilter:
    """Puts one filter on every handler and returns it."""
    guard = RedactingFilter(redactor)
    for handler in handlers:
        handler.addFilter(guard)
    return guard


_STANDARD_FIELDS: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


def _mask_field(match: re.Match[str]) -> str:
    if match["quoted"] is not None:
        return f"{match['name']}{match['quote']}{MASK}{match['close']}"
    return f"{match['name']}{match['scheme'] or ''}{MASK}"
