"""Tokenizer vocabularies from files that ship with the program. Never touches the network.

tiktoken itself downloads a vocabulary at its first use, without a time limit, and deletes a cached file whose
hash does not fit. Here the two vocabularies in use come from ``data/*.xz``, are checked, and a damaged file is
reported. The files are OpenAI's published rank files (tiktoken, MIT licence), packed by ``tools/encodings.py``.
"""

from __future__ import annotations

import hashlib
import lzma
import threading
from itertools import accumulate, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from tiktoken import Encoding

DATA_DIR = Path(__file__).with_name("data")


class EncodingError(RuntimeError):
    """A vocabulary cannot be used. The message names the file and what is wrong with it."""


class Vocabulary(msgspec.Struct, frozen=True):
    """One vocabulary: where it is, what its digests are, how text is cut into words."""

    name: str
    tokens: int
    packed_sha256: str
    """Of the unpacked file: a byte of length for each token in rank order, then the tokens."""
    official_sha256: str
    """Of the rank file as published; ``tools/encodings.py`` and a test make it from ours."""
    pattern: str


O200K = Vocabulary(
    "o200k_base",
    199_998,
    "440741350e7cfa1c0f4869ce742d1b043550adbda5187adcac9e787edac6fba9",
    "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "|".join(
        (
            r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
            r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
            r"""\p{N}{1,3}""",
            r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
            r"""\s*[\r\n]+""",
            r"""\s+(?!\S)""",
            r"""\s+""",
        )
    ),
)
CL100K = Vocabulary(
    "cl100k_base",
    100_256,
    "18288f996f452d44e0e65996176591a4b712a3eb1b42afd6f0511e735c099480",
    "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s""",
)
VOCABULARIES = {vocabulary.name: vocabulary for vocabulary in (O200K, CL100K)}


def pack(tokens: list[bytes]) -> bytes:
    """The unpacked form of a vocabulary file."""
    return bytes(map(len, tokens)) + b"".join(tokens)


def read_tokens(vocabulary: Vocabulary, folder: Path = DATA_DIR) -> list[bytes]:
    """All tokens in rank order; raises :class:`EncodingError`."""
    path = folder.joinpath(f"{vocabulary.name}.xz")
    try:
        data = lzma.decompress(path.read_bytes())
    except (OSError, lzma.LZMAError) as error:
        raise EncodingError(
            f"cannot read the vocabulary {path}: {error}; install the program again"
        ) from error
    if hashlib.sha256(data).hexdigest() != vocabulary.packed_sha256:
        raise EncodingError(
            f"the vocabulary {path} is damaged (its sha256 is wrong); install the program again"
        )
    bounds = accumulate(data[: vocabulary.tokens], initial=vocabulary.tokens)
    return [data[start:end] for start, end in pairwise(bounds)]


class Encodings:
    """Loads each vocabulary once, when it is first needed (0.15 to 0.3 s and 40 to 80 MB: not on the event loop)."""

    __slots__ = ("_folder", "_loaded", "_lock")

    def __init__(self, folder: Path = DATA_DIR) -> None:
        self._folder = folder
        self._loaded: dict[str, Encoding] = {}
        self._lock = threading.Lock()

    def get(self, vocabulary: Vocabulary) -> Encoding:
        """The tokenizer; raises :class:`EncodingError` if its file is missing or damaged."""
        encoding = self._loaded.get(vocabulary.name)
        if encoding is None:
            with self._lock:
                encoding = self._loaded.get(vocabulary.name)
                if encoding is None:
                    encoding = self._loaded[vocabulary.name] = self._load(vocabulary)
        return encoding

    def _load(self, vocabulary: Vocabulary) -> Encoding:
        from tiktoken import Encoding

        tokens = read_tokens(vocabulary, self._folder)
        return Encoding(
            vocabulary.name,
            pat_str=vocabulary.pattern,
            mergeable_ranks={token: rank for rank, token in enumerate(tokens)},
            special_tokens={},
        )
