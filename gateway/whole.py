"""An answer that came in one piece: nearly all of them are alike, and what they say is read at the end without a tap.

One that says anything unusual, or of which a sample is wanted, is given to a tap after all.
"""

from __future__ import annotations

import msgspec

from gateway.call import Call, Progress
from gateway.gear import Gear
from gateway.headers import AnswerHead
from gateway.looking_on import tap_of
from gateway.upstream import Connection
from gateway.wire.contract import Reading, Wire
from gateway.wire.tap import JSON, Sample, Tap, Witness


class Whole(msgspec.Struct, gc=False):
    """The :class:`gateway.wire.tap.Witness` of such an answer."""

    _gear: Gear
    _wire: Wire
    _call: Call
    _status: int
    _head: AnswerHead
    _body: bytes
    _tap: Tap | None = None

    def conclude(self) -> Reading:
        usual = self._wire.usual
        if usual is not None and self._tap is None:
            try:
                reading = usual(self._call.target.path, self._body)
            except Exception as error:  # noqa: BLE001 (the tap may still tell what it said)
                self._gear.defect(error)
            else:
                if reading is not None:
                    return reading
        return self._tapped().conclude()

    @property
    def sample(self) -> Sample:
        return self._tapped().sample

    @property
    def sample_is_whole(self) -> bool:
        return self._tapped().sample_is_whole

    def _tapped(self) -> Tap:
        tap = self._tap
        if tap is None:
            tap = self._tap = tap_of(self._gear, self._wire, self._call, self._status, self._head)
            tap.whole(self._body)
        return tap


def whole(gear: Gear, call: Call, progress: Progress, connection: Connection) -> Witness | None:
    """Count the body that ``connection`` has brought in one piece, and find out who reads it: nobody where no wire is known."""
    body = b"".join(connection.pieces)
    progress.response_bytes = len(body)
    progress.first_chunk_at = progress.last_read_at
    wire, head, status = call.target.wire, connection.head, connection.status
    if wire is None:
        return None
    if (
        wire.usual is not None
        and status == 200
        and head.content_type in JSON
        and not head.content_encoding
        and call.capture is None
        and call.method == "POST"
    ):
        return Whole(gear, wire, call, status, head, body)
    tap = tap_of(gear, wire, call, status, head)
    tap.whole(body)
    return tap
