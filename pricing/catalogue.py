"""Loading and writing price snapshots. The one that ships is compiled by ``tools/catalogue.py``."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pricing.rates import Catalogue

SCHEMA = 1
CATALOGUE_PATH = Path(__file__).with_name("data").joinpath("catalogue.json")


class CatalogueError(ValueError):
    """A snapshot that cannot be read. The message says what is wrong with it."""


def decode(data: bytes) -> Catalogue:
    """Reads a snapshot; raises :class:`CatalogueError`."""
    try:
        catalogue = msgspec.json.decode(data, type=Catalogue)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise CatalogueError(f"not a price snapshot: {error}") from error
    if catalogue.schema != SCHEMA:
        raise CatalogueError(
            f"price snapshot of schema {catalogue.schema}; this program reads schema {SCHEMA}"
        )
    return catalogue


def encode(catalogue: Catalogue) -> bytes:
    """JSON of a snapshot, one provider a line so that a change reads as a small difference."""
    head = msgspec.structs.replace(catalogue, providers=())
    text = msgspec.json.encode(head).removesuffix(b"[]}")
    lines = b",\n".join(map(msgspec.json.encode, catalogue.providers))
    return text + b"[\n" + lines + b"\n]}\n"


def load(path: Path | None = None) -> Catalogue:
    """The snapshot at ``path``, else the one that ships. Raises :class:`CatalogueError`."""
    path = path or CATALOGUE_PATH
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CatalogueError(f"cannot read price snapshot {path}: {error.strerror}") from error
    return decode(data)
