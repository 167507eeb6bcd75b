"""The call that a request speaks of: by our id, by the provider's id of its answer, or by its trace."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, Final

import msgspec
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from gateway.api.problems import ApiError
from gateway.api.viewer import Viewer
from gateway.attribution import MAX_VALUE, hashed
from storage.address import parse
from storage.engine import reading_engine, writing_engine
from storage.events import EventLog
from storage.mend import storable
from storage.quality.facts import By, Facts, Finder, facts_of
from storage.quality.keep import QualityLog
from storage.quality.summary import QualityReader
from storage.rows import RowError, started_ms
from storage.store import pending_row
from telemetry.record import CallRecord

PAUSES: Final = (0.1, 0.3, 0.6, 1.0)
"""Seconds between looks: a call that has just ended may be on its way to the database from another worker."""
_FRESH_MS: Final = 3_600_000
"""A call that began longer ago is not on its way any more."""
_CALL_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_TRACE_ID: Final = re.compile(r"[0-9a-f]{32}")

Name = Annotated[str, Field(min_length=1, max_length=MAX_VALUE), AfterValidator(storable)]
"""As it is kept."""


class CallNamed(BaseModel):
    """Exactly one of the three."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    call_id: Name | None = Field(
        default=None, description="Id of the call, as in x-weighbridge-request-id of its answer."
    )
    response_id: Name | None = Field(default=None, description="The provider's id of the answer.")
    trace_id: Name | None = Field(
        default=None, description="W3C trace id; of several calls of the trace the newest is meant."
    )

    def named(self) -> tuple[By, str]:
        """How, and the name. Raises :class:`ApiError` 400."""
        given = [(by, value) for by in By if (value := getattr(self, by.value)) is not None]
        if len(given) != 1:
            which = ", ".join(by.value for by in By)
            raise ApiError(400, "invalid_body", f"Give exactly one of {which}.", param=By.CALL.value)
        by, value = given[0]
        shape = {By.CALL: _CALL_ID, By.TRACE: _TRACE_ID}.get(by)
        if shape is None:
            return by, value
        if shape.fullmatch(value.lower()) is None:
            kind = "a call id, as in x-weighbridge-request-id" if by is By.CALL else "32 hexadecimal digits"
            raise ApiError(400, "invalid_body", f"{by.value} must be {kind}.", param=by.value)
        return by, value.lower()


class QualityDeps(msgspec.Struct, frozen=True):
    """What feedback, outcomes and events need."""

    finder: Finder
    log: QualityLog
    events: EventLog
    reader: QualityReader
    salt: Callable[[], SecretStr | None] = lambda: None
    """User ids are kept as a hash under this; ``None``: as they are."""
    store_comments: Callable[[], bool] = lambda: False
    store_traits: Callable[[], bool] = lambda: False
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.time
    """Seconds since 1970."""

    def user(self, told: str | None) -> str | None:
        """A user id as it is kept with calls."""
        salt = self.salt()
        return told if told is None or salt is None else hashed(told, salt)

    async def close(self) -> None:
        """Close every connection."""
        await self.log.close()
        await self.reader.close()


def open_quality(
    url: str | None,
    data_dir: Path,
    *,
    salt: Callable[[], SecretStr | None] = lambda: None,
    store_comments: Callable[[], bool] = lambda: False,
    store_traits: Callable[[], bool] = lambda: False,
) -> QualityDeps:
    """On the database of ``storage.url``. Connects when first asked something."""
    address = parse(url, data_dir)
    reading, writing = reading_engine(address), writing_engine(address)
    return QualityDeps(
        Finder(reading),
        QualityLog(writing),
        EventLog(writing),
        QualityReader(reading),
        salt=salt,
        store_comments=store_comments,
        store_traits=store_traits,
    )


class KnownCalls:
    """Looks for calls among those on their way to the database, and in it."""

    def __init__(self, deps: QualityDeps, pending: Callable[[str], CallRecord | None]) -> None:
        self._deps = deps
        self._pending = pending

    async def find(self, said: CallNamed, viewer: Viewer, pauses: Iterator[float] | None = None) -> Facts:
        """The call. Those who ask together share their ``pauses``. Raises :class:`ApiError` 400 or 404."""
        by, value = said.named()
        left = iter(PAUSES) if pauses is None else pauses
        patient = by is not By.CALL or self._is_fresh(value)
        while True:
            found = await self._look(by, value, viewer)
            if found is not None:
                return found
            pause = next(left, None) if patient else None
            if pause is None:
                raise ApiError(404, "call_not_found", f"There is no call of this {by.value}.", param=by.value)
            await self._deps.pause(pause)

    async def _look(self, by: By, value: str, viewer: Viewer) -> Facts | None:
        record = self._pending(value) if by is By.CALL else None
        if record is None:
            return await self._deps.finder.find(by, value, viewer.scope)
        row = pending_row(record)
        mine = all(getattr(row, column) == wanted for column, wanted in viewer.scope.items())
        return facts_of(row) if mine else None

    def _is_fresh(self, call_id: str) -> bool:
        try:
            return started_ms(call_id) > self._deps.clock() * 1000 - _FRESH_MS
        except RowError:
            return False
