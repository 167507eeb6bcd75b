"""Frames survive whatever happens to the file around them."""

from __future__ import annotations

from zlib import crc32

from hypothesis import given, settings
from hypothesis import strategies as st

from storage.frames import HEADER, HEADER_SIZE, MAGIC, Damage, Frame, Gap, Kind, pack, scan

PAYLOADS = st.lists(st.binary(max_size=60), min_size=1, max_size=6)


def file_of(payloads: list[bytes]) -> tuple[bytes, list[int]]:
    """The frames one after the other, and where each begins."""
    data, starts = b"", []
    for payload in payloads:
        starts.append(len(data))
        data += pack(Kind.CLOSED, payload)
    return data, starts


def test_frames_come_back_in_order_with_kind_and_place() -> None:
    data = pack(Kind.OPENED, b"one") + pack(Kind.CLOSED, b"") + pack(Kind.NOTE, b"three")
    first = HEADER_SIZE + 3
    assert list(scan(data, base=100)) == [
        Frame(Kind.OPENED, b"one", 100, 100 + first),
        Frame(Kind.CLOSED, b"", 100 + first, 100 + first + HEADER_SIZE),
        Frame(Kind.NOTE, b"three", 100 + first + HEADER_SIZE, 100 + len(data)),
    ]


def test_a_file_cut_at_any_byte_keeps_every_whole_frame_and_reports_the_torn_one() -> None:
    payloads = [b"first", b"", b"a longer third payload"]
    data, starts = file_of(payloads)
    ends = [*starts[1:], len(data)]
    for cut in range(len(data) + 1):
        found = list(scan(data[:cut]))
        whole = [end for end in ends if end <= cut]
        frames = [item for item in found if isinstance(item, Frame)]
        gaps = [item for item in found if isinstance(item, Gap)]
        assert [frame.payload for frame in frames] == payloads[: len(whole)]
        begin = whole[-1] if whole else 0
        assert gaps == ([] if begin == cut else [Gap(Damage.TORN, begin, cut, data[begin:cut])])


@settings(max_examples=300)
@given(PAYLOADS, st.data())
def test_one_damaged_byte_costs_at_most_one_frame(payloads: list[bytes], draw: st.DataObject) -> None:
    data, starts = file_of(payloads)
    at = draw.draw(st.integers(0, len(data) - 1))
    flip = draw.draw(st.integers(1, 255))
    hurt = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
    victim = max(index for index, start in enumerate(starts) if start <= at)
    found = list(scan(hurt))
    frames = [item for item in found if isinstance(item, Frame) and item.kind == Kind.CLOSED]
    assert [frame.payload for frame in frames] == payloads[:victim] + payloads[victim + 1 :]
    assert_covered(found, hurt)


@settings(max_examples=300)
@given(PAYLOADS, st.data())
def test_garbage_between_frames_is_one_gap_and_costs_no_frame(
    payloads: list[bytes], draw: st.DataObject
) -> None:
    data, starts = file_of(payloads)
    at = draw.draw(st.sampled_from([*starts, len(data)]))
    garbage = draw.draw(st.binary(min_size=1, max_size=80))
    found = list(scan(data[:at] + garbage + data[at:]))
    assert [item.payload for item in found if isinstance(item, Frame)] == payloads
    seen = garbage.rstrip(b"\0") if at == len(data) else garbage
    assert [item.data for item in found if isinstance(item, Gap)] == [seen] * bool(seen)


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_at_all_are_accounted_for(data: bytes) -> None:
    assert_covered(list(scan(data)), data)


@settings(max_examples=100)
@given(PAYLOADS, st.data())
def test_a_chunk_that_goes_on_says_nothing_about_its_unfinished_end(
    payloads: list[bytes], draw: st.DataObject
) -> None:
    data, _ = file_of(payloads)
    cut = draw.draw(st.integers(0, len(data)))
    found = list(scan(data[:cut], final=False))
    assert all(isinstance(item, Frame) for item in found)
    seen = found[-1].end if found else 0
    assert found + list(scan(data[seen:], base=seen)) == list(scan(data))


def test_zeros_at_the_end_are_room_that_was_never_written() -> None:
    data = pack(Kind.CLOSED, b"kept")
    assert [type(item) for item in scan(data + bytes(50))] == [Frame]
    assert list(scan(bytes(5000))) == []


def test_a_frame_that_was_being_copied_into_its_room_is_torn() -> None:
    kept, torn = pack(Kind.CLOSED, b"kept"), pack(Kind.CLOSED, b"never finished")
    for cut in range(1, len(torn)):
        found = list(scan(kept + torn[:cut] + bytes(len(torn) - cut + 40)))
        assert found[0] == Frame(Kind.CLOSED, b"kept", 0, len(kept))
        assert [item.damage for item in found[1:] if isinstance(item, Gap)] == [Damage.TORN], cut


def test_zeros_before_a_sound_frame_are_damage() -> None:
    data = bytes(30) + pack(Kind.CLOSED, b"kept")
    assert next(iter(scan(data))) == Gap(Damage.BROKEN, 0, 30, bytes(30))


def test_a_frame_of_another_version_is_sound_but_of_no_kind_we_know() -> None:
    header = HEADER.pack(MAGIC, 9, Kind.CLOSED, 3, 3 ^ 0xFFFFFFFF, crc32(b"new", 9 << 8 | Kind.CLOSED))
    assert list(scan(header + b"new")) == [Frame(-Kind.CLOSED, b"new", 0, HEADER_SIZE + 3)]


def assert_covered(found: list[Frame | Gap], data: bytes) -> None:
    """Frames and gaps hold every byte, in order, but for zeros at the very end."""
    covered = b"".join(_bytes(item, data) for item in found)
    assert data.startswith(covered)
    assert not data[len(covered) :].strip(b"\0")


def _bytes(item: Frame | Gap, data: bytes) -> bytes:
    return data[item.start : item.end]
