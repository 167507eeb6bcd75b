"""Taking a person out of files in the data folder of this machine. What still lies in a spool goes as it is written."""

from __future__ import annotations

import os
from pathlib import Path

from storage.claim import DAMAGED
from storage.export.files import EXPORTS
from storage.ledger import SPOOL_FOLDER
from storage.privacy.calls import masked
from storage.privacy.database import Person


def mask_damaged(data_dir: Path, person: Person) -> int:
    """Unreadable stretches of spools that were kept aside: the id is overwritten. Raises ``OSError``."""
    count = 0
    folder = data_dir / SPOOL_FOLDER / DAMAGED
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        clean = masked(path.read_bytes(), person)
        if clean is not None:
            with open(path, "r+b") as file:
                file.write(clean)
                os.fsync(file.fileno())
            count += 1
    return count


def delete_exports(data_dir: Path) -> int:
    """Every file that ``weighbridge export`` put there; they can be made again. Raises ``OSError``."""
    folder = data_dir / EXPORTS
    files = [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    for path in files:
        path.unlink(missing_ok=True)
    return len(files)
