"""What the analytics need from the rest of the gateway."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from gateway.api.analytics.aside import Aside
from gateway.api.analytics.feed import Feed, Follows
from storage.address import parse
from storage.engine import reading_engine
from storage.quality.summary import QualityReader
from storage.queries.analytics.figures import Figures


class AnalyticsDeps(msgspec.Struct, frozen=True):
    """Where figures come from."""

    figures: Figures
    quality: QualityReader
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    aside: Aside = msgspec.field(default_factory=Aside)
    """Where both are asked; their connections belong there."""
    feed: Feed | None = None
    """Calls as they are recorded; ``None``: not served."""

    async def close(self) -> None:
        """Close every connection. The store that is followed is not closed, and must not be yet."""
        if self.feed is not None:
            await self.feed.close()
        await self.aside.close(self._close())

    async def _close(self) -> None:
        await self.figures.close()
        await self.quality.close()


def open_analytics(url: str | None, data_dir: Path, store: Follows) -> AnalyticsDeps:
    """On the database of ``storage.url``. Connects when first asked something. ``store`` is followed here."""
    engine = reading_engine(parse(url, data_dir))
    return AnalyticsDeps(Figures(engine), QualityReader(engine), feed=Feed(store))
