"""Where unreadable stretches of the spool are kept: nothing that might be money is thrown away unseen."""

from __future__ import annotations

import os
from pathlib import Path

from storage.claim import DAMAGED
from storage.frames import Damage

SUFFIX = ".bad"


class Quarantine:
    """The ``damaged`` folder of a spool. Writer thread only."""

    def __init__(self, root: Path) -> None:
        self.folder = root / DAMAGED
        self.torn = 0
        """Unfinished writes at the end of a file, cut off."""
        self.broken = 0
        """Stretches that are no sound frame, and frames that are no record we can read; kept aside."""

    def keep(self, damage: Damage, spool: str, segment: int, start: int, data: bytes) -> None:
        """Count the damage, and keep the bytes unless they are only a torn tail."""
        if damage is Damage.TORN:
            self.torn += 1
            return
        self.broken += 1
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            path = self.folder / f"{spool}-{segment:08d}-{start}{SUFFIX}"
            fd = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            os.write(fd, data)
        except OSError:
            return
        finally:
            os.close(fd)
