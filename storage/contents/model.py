"""What is kept of the content of one call."""

from __future__ import annotations

import enum
from typing import Final

import msgspec

TABLE: Final = "call_contents"
MOST_TEXT: Final = 256 * 1024
"""Characters kept of one request or answer."""


class Absence(enum.StrEnum):
    """Why there is neither text nor digest."""

    OMITTED = "omitted"
    """This side was not to be kept."""
    EMPTY = "empty"
    NOT_TEXT = "not_text"
    """Sound, pictures, files, forms with files, or a compressed request that cannot be inflated as a whole."""
    VECTORS = "vectors"
    """Embeddings."""
    UNREAD = "unread"
    """Nobody here reads this kind of answer, or none came."""


class Piece(msgspec.Struct, frozen=True):
    """A request or an answer."""

    mode: str
    """``none``, ``hash``, ``redacted`` or ``full``."""
    size: int
    """Bytes that passed, as they came."""
    text: str | None = None
    digest: str | None = None
    """Keyed; of the words that are said, however they are spaced."""
    cut: bool = False
    """Not all of it is in text and digest."""
    absent: str | None = None
    """An :class:`Absence`."""


class Content(msgspec.Struct, frozen=True):
    """One row."""

    tenant: str
    call_id: str
    started_ms: int
    """Of the call; milliseconds since 1970, UTC."""
    team: str | None
    user: str | None
    session: str | None
    request: Piece
    answer: Piece
