"""An app that has gone while its answer is still read on, for the usage at its end (``proxy.drain_seconds``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final


class GoneClient:
    """Takes the place of the app: whatever is meant for it is dropped."""

    http10: bool = False

    def write(self, data: bytes) -> None: ...

    def writer(self) -> Callable[[bytes], object]:
        return self.write

    def end(self, *, close: bool) -> None: ...

    def cut(self) -> None: ...

    def pause_upload(self) -> None: ...

    def resume_upload(self) -> None: ...


GONE: Final = GoneClient()
