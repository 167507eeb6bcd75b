"""Captured prompts and answers as the API shows them."""

from __future__ import annotations

from pydantic import BaseModel, Field

from storage.contents.model import Content, Piece


class PieceOut(BaseModel):
    """A request or an answer."""

    mode: str = Field(description="none, hash, redacted or full.", examples=["redacted"])
    bytes: int = Field(description="What passed, as it came.")
    text: str | None = Field(
        default=None,
        description="Of a request its body, of an answer the text in it, or its body where no text was found.",
    )
    digest: str | None = Field(default=None, description="The same for the same words.")
    cut: bool = Field(description="Not all of it is in text and digest.")
    absent: str | None = Field(
        default=None,
        description="Why there is neither: omitted, empty, not_text, vectors or unread.",
    )


class ContentOut(BaseModel):
    """What was kept of the content of one call."""

    id: str
    request: PieceOut
    answer: PieceOut


def content_out(content: Content) -> ContentOut:
    return ContentOut(
        id=content.call_id, request=_piece_out(content.request), answer=_piece_out(content.answer)
    )


def _piece_out(piece: Piece) -> PieceOut:
    return PieceOut(
        mode=piece.mode,
        bytes=piece.size,
        text=piece.text,
        digest=piece.digest,
        cut=piece.cut,
        absent=piece.absent,
    )
