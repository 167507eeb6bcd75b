"""Trying dead letters again, after what was wrong with them or with the database was mended."""

from __future__ import annotations

import msgspec

from storage.targets.contract import RowRefused, Target
from telemetry.record import decode


class Retried(msgspec.Struct, frozen=True):
    """What became of the dead letters."""

    written: int = 0
    """Now rows (or found to be rows already)."""
    refused: int = 0
    """Still refused; still kept."""


def retry(target: Target, *, batch: int = 100) -> Retried:
    """Make rows of all dead letters that are taken now. ``target`` is connected. Blocks; raises ``Outage``."""
    written = refused = 0
    after = ""
    while letters := target.letters(after, batch):
        after = letters[-1].id
        done = []
        for letter in letters:
            try:
                target.write([decode(letter.record)])
                done.append(letter.id)
            except (RowRefused, msgspec.MsgspecError):
                refused += 1
        target.unbury(done)
        written += len(done)
    return Retried(written, refused)
