"""Counting tokens when the provider did not: always an estimate, and always marked as one.

OpenAI's models are counted with their own vocabulary. For others o200k is a yardstick: its count is multiplied by
a ratio per model, learned from calls whose provider reported usage.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from pricing.encodings import CL100K, O200K, Encodings, Vocabulary

PIECE_CHARS = 2_000
"""Text is tokenized in pieces of this size: a long run of one letter takes quadratic time otherwise. A cut can
change the count by a token or two."""
CAP_CHARS = 400_000
"""Of a longer text this much is counted and the rest is taken to be alike (about 20 ms of work)."""

PER_MESSAGE = 3
PER_NAME = 1
PRIMING = 3
"""Chat overhead of OpenAI's models: tokens per message, per name given, and once for the answer's beginning."""

_CL100K_MODELS = re.compile(
    r"^(?:gpt-4(?:-.*|:.*)?|gpt-3\.?5.*|text-embedding-.*|davinci-002.*|babbage-002.*)$"
)
_CLAUDE = re.compile(r"claude-(?:[a-z]+-)*(\d{1,2})(?!\d)(?:[-.](\d{1,2})(?!\d))?")
_OPENAI = re.compile(r"^(?:gpt-|chatgpt-|o\d|codex|text-embedding-|davinci-002|babbage-002|computer-use)")

HUNDRED = 100
CLAUDE_NEW_VOCABULARY = (4, 7)
"""First Claude version that needs about half as many tokens again."""


def plain_model(model: str) -> str:
    """A model's own name: lower case, without vendor path and ``ft:``."""
    return model.lower().rpartition("/")[2].removeprefix("ft:")


def vocabulary_for(model: str | None) -> Vocabulary:
    """The vocabulary of an OpenAI model; o200k, the current one, for every other."""
    return CL100K if model and _CL100K_MODELS.match(plain_model(model)) else O200K


def first_ratio(model: str | None) -> int:
    """Tokens per hundred counted ones, before anything was learned (measured 2026-11)."""
    name = plain_model(model or "")
    if _OPENAI.match(name):
        return 100
    if "deepseek" in name:
        return 105
    if "claude" in name:
        version = _CLAUDE.search(name)
        if version is None:
            return 150
        return 150 if (int(version[1]), int(version[2] or 0)) >= CLAUDE_NEW_VOCABULARY else 120
    return 110


def pieces_of(text: str) -> Iterable[str]:
    """``text`` in pieces of at most ``PIECE_CHARS``, up to ``CAP_CHARS``."""
    for start in range(0, min(len(text), CAP_CHARS), PIECE_CHARS):
        yield text[start : min(start + PIECE_CHARS, CAP_CHARS)]


class TokenCounter:
    """Counts text. Slow (5 ms for 100 KB, 0.3 s the first time): call it in a thread."""

    __slots__ = ("_encodings",)

    def __init__(self, encodings: Encodings | None = None) -> None:
        self._encodings = encodings or Encodings()

    def count(self, text: str, model: str | None) -> int:
        """Tokens of ``text`` in the vocabulary of ``model``. Raises ``EncodingError`` if that is damaged."""
        if not text:
            return 0
        encoding = self._encodings.get(vocabulary_for(model))
        counted = sum(len(encoding.encode_ordinary(piece)) for piece in pieces_of(text))
        if len(text) > CAP_CHARS:
            return counted * len(text) // CAP_CHARS
        return counted

    def count_chat(self, texts: Iterable[str], model: str | None, names: int = 0) -> int:
        """Tokens of a chat prompt: one text per message, ``names`` of them with a name; tool definitions are
        counted by the caller as another text's tokens (:meth:`count` of their JSON)."""
        total = PRIMING + names * PER_NAME
        for text in texts:
            total += PER_MESSAGE + self.count(text, model)
        return total


class _Learned(msgspec.Struct):
    """What was reported and what was counted, recent calls weighing more."""

    reported: int
    counted: int


class Ratios:
    """Learned tokens per counted token, by provider and model. Bounded; not for several threads at once."""

    __slots__ = ("_learned", "_limit")

    PRIOR_TOKENS = 2_000
    """Weight of the first ratio, in counted tokens."""
    MEMORY_TOKENS = 1_000_000
    """Beyond this many counted tokens older calls weigh half."""
    MIN_TOKENS = 20
    """Shorter texts teach nothing: overhead outweighs them."""
    MAX_FACTOR = 4
    """A call that differs more had something the text does not show (images, tools, a cache)."""

    def __init__(self, limit: int = 1_024) -> None:
        self._limit = limit
        self._learned: dict[tuple[str, str], _Learned] = {}

    def __len__(self) -> int:
        return len(self._learned)

    def learn(self, provider: str, model: str, reported: int, counted: int) -> bool:
        """Takes in a call whose provider reported ``reported`` tokens for text we count as ``counted``."""
        if reported < self.MIN_TOKENS or counted < self.MIN_TOKENS:
            return False
        if reported > counted * self.MAX_FACTOR or counted > reported * self.MAX_FACTOR:
            return False
        key = (provider, model)
        learned = self._learned.get(key)
        if learned is None:
            if len(self._learned) >= self._limit:
                del self._learned[next(iter(self._learned))]
            prior = self.PRIOR_TOKENS
            learned = self._learned[key] = _Learned(prior * first_ratio(model) // HUNDRED, prior)
        learned.reported += reported
        learned.counted += counted
        while learned.counted > self.MEMORY_TOKENS:
            learned.reported = (learned.reported + 1) // 2
            learned.counted = (learned.counted + 1) // 2
        return True

    def estimate(self, provider: str, model: str | None, counted: int) -> int:
        """Tokens the provider would report for ``counted`` ones; rounded to the nearest."""
        learned = self._learned.get((provider, model or ""))
        top, bottom = (learned.reported, learned.counted) if learned else (first_ratio(model), HUNDRED)
        return (counted * top * 2 + bottom) // (bottom * 2)
