"""The frames of a spool file: how a record lies on disk, and how to find it again after damage.

A frame is a 16-byte header and a payload::

    magic   2 bytes   f5 fa (never part of UTF-8 text)
    version 1 byte    FRAME_VERSION
    kind    1 byte    Kind
    length  4 bytes   of the payload, little endian
    ~length 4 bytes   complement of the length: a damaged length is told from a torn tail
    crc     4 bytes   CRC-32 of the payload, seeded with version and kind
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from operator import xor
from zlib import crc32

import msgspec

FRAME_VERSION = 1
MAGIC = b"\xf5\xfa"
HEADER = struct.Struct("<2sBBIII")
HEADER_SIZE = HEADER.size
MAX_PAYLOAD = 16 * 1024 * 1024
"""Longest payload believed when reading, in bytes."""

_MASK = 0xFFFFFFFF
_SEED = FRAME_VERSION << 8


class Kind(enum.IntEnum):
    """What a frame holds. Values are on disk: never renumber."""

    OPENED = 1
    """A record as it has to be written if the process dies now."""
    CLOSED = 2
    """The final record of a call."""
    NOTE = 3
    """Facts about the file itself; no record."""


class Damage(enum.StrEnum):
    """What is wrong with a stretch of a file."""

    TORN = "torn"
    """A frame at the end that was never finished: the file ends inside it, or nothing but zeros follow."""
    BROKEN = "broken"
    """Bytes that are no frame, or a frame whose checksum does not fit."""


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One sound frame and the bytes [start, end) it takes in its file."""

    kind: int
    """A :class:`Kind`, or a negative number where the frame is of another version than ours."""
    payload: bytes
    start: int
    end: int


class Gap(msgspec.Struct, frozen=True, gc=False):
    """A stretch [start, end) of a file that holds no sound frame, and its bytes."""

    damage: Damage
    start: int
    end: int
    data: bytes


def pack(kind: int, payload: bytes) -> bytes:
    """The frame of ``payload``."""
    return pack_all(kind, (payload,))


def pack_all(kind: int, payloads: Sequence[bytes]) -> bytes:
    """The frames of ``payloads``, one behind the other; each step is taken for all of them at once."""
    sizes = [*map(len, payloads)]
    headers = map(
        HEADER.pack,
        repeat(MAGIC),
        repeat(FRAME_VERSION),
        repeat(kind),
        sizes,
        map(xor, sizes, repeat(_MASK)),
        map(crc32, payloads, repeat(_SEED | kind)),
    )
    return b"".join(chain.from_iterable(zip(headers, payloads, strict=True)))


def scan(data: bytes, base: int = 0, *, final: bool = True) -> Iterator[Frame | Gap]:
    """Frames and gaps of ``data`` in order; ``base`` is the file offset of its first byte.

    Zeros up to the end are room that was never written, and no gap. With ``final=False`` more bytes may follow: the
    scan stops before an unfinished frame at the end and says nothing about it.
    """
    at, end = 0, len(data)
    while at < end:
        frame = _frame_at(data, at, base)
        if frame is not None:
            yield frame
            at = frame.end - base
            continue
        cut = _is_cut(data, at)
        if cut and not final:
            return
        sound = _next_sound(data, at + 1, base)
        if sound == end:
            if final:
                yield from _tail(data, at, base, cut=cut)
            return
        yield Gap(Damage.BROKEN, base + at, base + sound, data[at:sound])
        at = sound


def _tail(data: bytes, at: int, base: int, *, cut: bool) -> Iterator[Gap]:
    """The end of a file behind its last sound frame."""
    written = data[at:] if cut else data[at:].rstrip(b"\0")
    if written:
        zeros = len(data) - at > len(written)
        damage = Damage.TORN if cut or (zeros and _is_unfinished(written)) else Damage.BROKEN
        yield Gap(damage, base + at, base + at + len(written), written)


def _is_unfinished(written: bytes) -> bool:
    """Whether these bytes, with nothing but zeros behind them, are a frame that was being copied in."""
    if len(written) < HEADER_SIZE:
        return MAGIC.startswith(written[:2])
    magic, _, _, size, complement, _ = HEADER.unpack_from(written, 0)
    return bool(magic == MAGIC and size ^ _MASK == complement and len(written) < HEADER_SIZE + size)


def _frame_at(data: bytes, at: int, base: int) -> Frame | None:
    if len(data) - at < HEADER_SIZE:
        return None
    magic, version, kind, size, complement, crc = HEADER.unpack_from(data, at)
    if magic != MAGIC or size ^ _MASK != complement or size > MAX_PAYLOAD:
        return None
    start = at + HEADER_SIZE
    payload = data[start : start + size]
    if len(payload) != size or crc32(payload, version << 8 | kind) != crc:
        return None
    return Frame(kind if version == FRAME_VERSION else -kind, payload, base + at, base + start + size)


def _is_cut(data: bytes, at: int) -> bool:
    """Whether the bytes from ``at`` on are the beginning of a frame that the end of the data cuts off."""
    left = len(data) - at
    if left < HEADER_SIZE:
        return MAGIC.startswith(data[at : at + 2]) and (left < 3 or data[at + 2] == FRAME_VERSION)
    magic, _, _, size, complement, _ = HEADER.unpack_from(data, at)
    return bool(
        magic == MAGIC and size ^ _MASK == complement and size <= MAX_PAYLOAD and left < HEADER_SIZE + size
    )


def _next_sound(data: bytes, at: int, base: int) -> int:
    """Offset of the next sound frame at or after ``at``; the length of the data if there is none."""
    while True:
        at = data.find(MAGIC, at)
        if at < 0:
            return len(data)
        if _frame_at(data, at, base) is not None:
            return at
        at += 1
