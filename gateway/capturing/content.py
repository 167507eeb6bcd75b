"""What is kept of one call, made from the bytes that passed. Runs in the keeper's thread.

The request is kept as its body, the answer as the text that the reader of its wire finds in it (of a stream: joined);
an answer in which no text is found is kept as its body. Embedded data (pictures, files) becomes ``[DATA n]``.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from msgspec.structs import replace
from pydantic import SecretStr

from gateway.attribution import MAX_VALUE, hashed
from gateway.capturing.rules import Wanted
from gateway.settings.choices import Capture
from gateway.wire.contract import AskFields
from gateway.wire.inflate import EncodingError, ExpansionError, inflater
from gateway.wire.shapes import anything
from gateway.wire.tap import Sample, text_of
from gateway.wire.words import SAID, is_text, words
from storage.contents.model import MOST_TEXT, Absence, Content, Piece
from telemetry.personal import without_personal
from telemetry.redact import Redactor

SPARE: Final = 512
"""Characters at a cut that redaction may not recognise any more: they go."""
USER: Final = "[USER]"
_DATA: Final = re.compile(r'(?<=")(?:data:[\w/.+;-]{1,80},)?(?:[A-Za-z0-9+/=_-]|\\/){2000,}+(?=")')
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|[nrt])")
_VECTORS: Final = "embeddings"
_NOT_TEXT: Final = (
    "audio/",
    "image/",
    "video/",
    "multipart/",
    "application/octet-stream",
    "application/pdf",
    "application/zip",
)
_FULL: Final = Capture.FULL
_NONE: Final = Capture.NONE

Clean = Callable[[str], str]


class Captured(msgspec.Struct, frozen=True, gc=False):
    """The bytes of a call on their way to be kept."""

    call_id: str
    started_ms: int
    tenant: str
    team: str | None
    user: str | None
    session: str | None
    said_user: str | None
    """The end user as the body names them."""
    wanted: Wanted
    request: bytes
    """Its beginning, as far as it is looked at."""
    request_size: int
    sample: Sample | None
    """The beginning of the answer; ``None`` where nobody read one."""
    answer_size: int
    reads: Callable[[bytes], AskFields] | None = None
    """Reads the request once it is inflated; ``None``: it was read when it came, or nobody does."""

    @property
    def weight(self) -> int:
        """Bytes it holds in memory."""
        return len(self.request) + (self.sample.size if self.sample is not None else 0) + 1024


class ContentMaker:
    """Belongs to one keeper."""

    def __init__(
        self, key: bytes, redactor: Redactor, *, most_request: int, salt: SecretStr | None = None
    ) -> None:
        """``key`` is that of the digests. ``most_request``: bytes to which a request may be inflated. ``salt``: user ids
        are kept hashed under it, so no text may hold one."""
        self._key = key
        self._redactor = redactor
        self._most_request = most_request
        self._salt = salt

    def make(self, one: Captured) -> Content:
        """The row. May raise whatever the bytes make the parsers raise."""
        if one.wanted.encoding and one.wanted.is_text:
            one = self._inflated(one)
        return Content(
            one.tenant,
            one.call_id,
            one.started_ms,
            one.team,
            one.user,
            one.session,
            self._request(one),
            self._answer(one),
        )

    def _inflated(self, one: Captured) -> Captured:
        """A compressed request as one that came as it is; no text where it cannot be inflated as a whole.

        Nobody could read it when the call was made, so whom it names is found out here: that must be known before
        anything is kept, to be marked in the text and to have the row go with the person.
        """
        raw = None
        if one.request_size == len(one.request):
            raw = _whole(one.wanted.encoding, one.request, self._most_request)
        if raw is None:
            return replace(one, wanted=replace(one.wanted, is_text=False))
        ask = AskFields() if one.reads is None else one.reads(raw)
        user = ask.user[:MAX_VALUE] if ask.user else None
        if user is not None and self._salt is not None:
            user = hashed(user, self._salt)
        return replace(
            one,
            request=raw,
            user=one.user or user,
            session=one.session or (ask.session[:MAX_VALUE] if ask.session else None),
            said_user=ask.user,
        )

    def _request(self, one: Captured) -> Piece:
        mode, size, raw = one.wanted.request, one.request_size, one.request
        absent = None
        if mode is _NONE:
            absent = Absence.OMITTED
        elif not one.wanted.is_text:
            absent = Absence.NOT_TEXT
        elif not raw:
            absent = Absence.EMPTY
        if absent is not None:
            return Piece(mode, size, absent=absent)
        cut = size > len(raw) and not one.wanted.encoding  # what was inflated is whole
        return self._body(mode, raw, size, cut, b"request", one.said_user)

    def _answer(self, one: Captured) -> Piece:
        mode, size, sample = one.wanted.answer, one.answer_size, one.sample
        absent = None
        if mode is _NONE:
            absent = Absence.OMITTED
        elif sample is None:
            absent = Absence.UNREAD
        elif not sample.size:
            absent = Absence.EMPTY
        elif sample.wire.operation == _VECTORS and sample.call.status < 400:
            absent = Absence.VECTORS
        elif sample.content_type.startswith(_NOT_TEXT):
            absent = Absence.NOT_TEXT
        if absent is not None or sample is None:
            return Piece(mode, size, absent=absent)
        cut = sample.room < 0
        text, more = text_of(sample, MOST_TEXT + SPARE)
        if not text:
            return self._body(mode, inflated(sample, MOST_TEXT * 4), size, cut, b"answer", one.said_user)
        return self._piece(mode, text, size, cut or more, self._digest(b"answer", text), one.said_user)

    def _body(self, mode: Capture, raw: bytes, size: int, cut: bool, side: bytes, user: str | None) -> Piece:
        found = None if cut else anything(raw)
        text = raw.decode("utf-8", "replace")
        said = "\n".join(_said(found)) or text
        digest = self._digest(side, said)
        if mode is not _FULL and found is not None:
            try:
                text = msgspec.json.encode(_cleaned(found, self._cleaner(user))).decode()
            except (RecursionError, msgspec.MsgspecError, ValueError, TypeError):
                text = _plain(text)
            else:
                return _kept(mode, text, size, cut, digest)
        return self._piece(mode, _plain(text), size, cut, digest, user)

    def _piece(self, mode: Capture, text: str, size: int, cut: bool, digest: str, user: str | None) -> Piece:
        if mode is Capture.REDACTED:
            text = self._cleaner(user)(_ESCAPE.sub(_unescaped, text))
            text = text[:-SPARE] if cut else text
        elif mode is _FULL and self._salt is not None and user:
            text = _named(user).sub(USER, text)
        return _kept(mode, text, size, cut, digest)

    def _cleaner(self, user: str | None) -> Clean:
        named = _named(user) if user else None

        def clean(text: str) -> str:
            text = without_personal(self._redactor.text(text))
            return text if named is None else named.sub(USER, text)

        return clean

    def _digest(self, side: bytes, text: str) -> str:
        """The same for the same words, however they are spaced."""
        normal = " ".join(text.split()).encode("utf-8", "replace")
        return hmac.digest(self._key, side + b"\0" + normal, "sha256").hex()[:32]


def inflated(sample: Sample, most: int) -> bytes:
    """The bytes of a sample without their content encoding, as far as they can be read."""
    return _inflate(sample.content_encoding, sample.pieces, most)[0][:most]


def _whole(encoding: str, body: bytes, most: int) -> bytes | None:
    """A body without its content encoding, if that is text of at most so many bytes."""
    raw, is_all = _inflate(encoding, (body,), most)
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:  # damaged, or in an encoding more than it says
        return None
    return raw if is_all and len(raw) <= most else None


def _inflate(encoding: str, pieces: Iterable[bytes], most: int) -> tuple[bytes, bool]:
    """What can be read within ``most`` bytes and a piece, and whether nothing went wrong."""
    parts: list[bytes] = []

    def take(data: bytes) -> None:
        if sum(map(len, parts)) > most:
            raise ExpansionError
        parts.append(data)

    try:
        inflate = inflater(encoding, take)
        for piece in pieces:
            (take if inflate is None else inflate.feed)(piece)
    except (EncodingError, ExpansionError):
        return b"".join(parts), False
    return b"".join(parts), True


def _kept(mode: Capture, text: str, size: int, cut: bool, digest: str) -> Piece:
    text_kept = None if mode is Capture.HASH else text[:MOST_TEXT]
    return Piece(mode, size, text_kept, digest, cut or len(text) > MOST_TEXT)


def _said(body: object) -> list[str]:
    """What is said to the model in a request; empty where nobody knows."""
    if not isinstance(body, dict):
        return []
    return [text for name, value in body.items() if name in SAID for text in words(value)]


def _cleaned(value: object, clean: Clean) -> object:
    """The JSON value with every text cleaned, and numbers that look like something personal."""
    if isinstance(value, str):
        return clean(value) if is_text(value) else f"[DATA {len(value)}]"
    if isinstance(value, list):
        return [_cleaned(one, clean) for one in value]
    if isinstance(value, dict):
        return {clean(str(name)): _cleaned(one, clean) for name, one in value.items()}
    if isinstance(value, int) and not isinstance(value, bool):
        digits = str(value)
        marked = clean(digits)
        return value if marked == digits else marked
    return value


def _plain(text: str) -> str:
    return _DATA.sub(lambda found: f"[DATA {len(found[0])}]", text)


def _unescaped(found: re.Match[str]) -> str:
    """What stands beside an escape, or is written as one (``\\u0040``), would not be recognised."""
    if found[1] is None:
        return "\n"
    code = int(found[1], 16)
    return chr(code) if 0x20 <= code < 0x7F and chr(code) not in '"\\' else found[0]


def _named(user: str) -> re.Pattern[str]:
    """The user's id as a word."""
    return re.compile(rf"(?<![^\W_]){re.escape(user)}(?![^\W_])")
