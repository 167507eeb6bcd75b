"""Packs published rank files (``o200k_base.tiktoken[.gz]``, ``cl100k_base.tiktoken[.gz]``) into ``pricing/data``.

    python -m tools.encodings FOLDER

Takes only files whose sha256 is the published one. Run it when a vocabulary is added; the result is committed.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import lzma
from pathlib import Path

from pricing.encodings import DATA_DIR, VOCABULARIES, Vocabulary, pack


def read_published(folder: Path, vocabulary: Vocabulary) -> bytes:
    """The published rank file; raises ``ValueError`` if it is another one."""
    plain = folder / f"{vocabulary.name}.tiktoken"
    packed = plain.with_suffix(".tiktoken.gz")
    data = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
    if hashlib.sha256(data).hexdigest() != vocabulary.official_sha256:
        raise ValueError(f"{plain} is not the published file")
    return data


def tokens_of(data: bytes) -> list[bytes]:
    """Tokens of a rank file, whose ranks have to count up from 0."""
    lines = [line.split() for line in data.splitlines()]
    if [int(rank) for _, rank in lines] != list(range(len(lines))):
        raise ValueError("ranks do not count up from 0")
    return [base64.b64decode(token) for token, _ in lines]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    for vocabulary in VOCABULARIES.values():
        unpacked = pack(tokens_of(read_published(folder, vocabulary)))
        target = DATA_DIR / f"{vocabulary.name}.xz"
        target.write_bytes(lzma.compress(unpacked, preset=9 | lzma.PRESET_EXTREME))
        print(target.name, target.stat().st_size, hashlib.sha256(unpacked).hexdigest())  # noqa: T201


if __name__ == "__main__":
    main()
