"""Calls straight from the database, for when no gateway runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from multidict import MultiDict

from gateway.api.content_models import ContentOut, content_out
from gateway.api.explanation import explanation_of
from gateway.api.models import CallOut, CallsOut, ExplanationOut
from gateway.api.problems import ApiError
from gateway.api.query import parse_calls_query
from gateway.api.views import call_out
from gateway.cli.control_database import actor
from gateway.cli.exits import Exit
from gateway.cli.source import CallSource, SourceError
from gateway.cli.trouble import has_database, where_to_look
from gateway.prices import book_of
from gateway.providers.table import ProviderTable
from gateway.settings import Settings
from storage.address import parse
from storage.contents.keep import content_of, mode_of, read_by
from storage.control import ControlDatabase, ControlUnavailable, control_of
from storage.queries.calls import CursorError
from storage.store import Store, StoreTooSlow, StoreUnavailable


class StoreSource:
    """:class:`gateway.cli.source.CallSource` over a store."""

    def __init__(self, store: Store, control: ControlDatabase, settings: Settings) -> None:
        self._store = store
        self._control = control
        self._settings = settings

    async def calls(self, query: Mapping[str, str]) -> CallsOut:
        parsed, wanted = parse_calls_query(MultiDict(query))
        page = await self._store.list_calls(wanted, parsed.cursor, parsed.limit, parsed.order)
        return CallsOut(items=[call_out(row) for row in page.items], next_cursor=page.next_cursor)

    async def call(self, call_id: str) -> CallOut | None:
        row = await self._store.get_call(call_id)
        return None if row is None else call_out(row)

    async def cost(self, call_id: str) -> ExplanationOut | None:
        row = await self._store.get_call(call_id)
        if row is None:
            return None
        table = ProviderTable.build(self._settings)
        out = explanation_of(row, book_of(self._settings), table.price_as)
        return out.model_copy(update={"content": await mode_of(self._control, out.id)})

    async def content(self, call_id: str) -> ContentOut | None:
        found = await content_of(self._control, call_id)
        if found is None:
            return None
        await read_by(self._control, actor(), call_id)
        return content_out(found)


@asynccontextmanager
async def open_store_source(settings: Settings) -> AsyncIterator[CallSource]:
    """The database of the settings; raises :class:`SourceError` where there is none to read."""
    storage = settings.storage
    address = parse(storage.url, storage.data_dir)
    if not has_database(settings):
        raise SourceError(
            f"no gateway runs on port {settings.server.port}, and there are no records in {storage.data_dir}",
            "Start one with 'weighbridge serve' (or 'weighbridge demo'), or name its settings with --config",
        )
    store = await Store.open(storage.url, data_dir=storage.data_dir)
    control = control_of(address)
    try:
        yield StoreSource(store, control, settings)
    except StoreTooSlow as error:
        raise SourceError(str(error), "Ask for a shorter period, with --since") from None
    except (StoreUnavailable, ControlUnavailable) as error:
        raise SourceError(str(error), where_to_look(settings, str(error))) from None
    except CursorError as error:
        raise SourceError(str(error)) from None
    except ApiError as error:
        raise SourceError(error.detail.message, code=Exit.USAGE) from None
    finally:
        await control.close()
        await store.close()
