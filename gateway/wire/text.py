"""Keeps the text of an answer, up to a cap, for token estimation where the provider reports no usage.

The text lives as long as the call and goes nowhere else.
"""

from __future__ import annotations


class Text:
    """Pieces of the answer in the order they came."""

    __slots__ = ("_left", "_parts", "cut")

    def __init__(self, cap: int) -> None:
        self._left = cap
        self._parts: list[str] = []
        self.cut = False
        """Text beyond the cap was not kept."""

    def add(self, piece: object) -> None:
        if type(piece) is not str or not piece:
            return
        if len(piece) > self._left:
            self.cut = True
            piece = piece[: self._left]
        if piece:
            self._left -= len(piece)
            self._parts.append(piece)

    def __str__(self) -> str:
        return "".join(self._parts)
