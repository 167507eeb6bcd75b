"""``DELETE /api/users/{id}`` and ``GET /api/users/{id}/export``: what is kept of a person is erased, or told to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gateway.api.known_calls import Name
from gateway.api.parameters import parse_query
from gateway.api.problems import ApiError, json_response
from gateway.api.routes import Endpoint
from gateway.api.stream import streamed
from gateway.api.viewer import viewer_of
from gateway.attribution import MAX_VALUE, hashed
from storage.address import Address
from storage.control import ControlUnavailable, control_of
from storage.mend import storable
from storage.privacy.database import Person, PrivateDatabase
from storage.privacy.erase import DAYS, Report, erase
from storage.privacy.person import told
from storage.store import StoreUnavailable

PATH: Final = "/api/users/{id}"
MOST_DAYS: Final = 3650


class PersonQuery(BaseModel):
    """Where to look."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenant: Name | None = Field(default=None, description="Only in this tenant; else in all of them.")


class EraseQuery(PersonQuery):
    """Where, and for how long."""

    days: int = Field(
        default=DAYS,
        ge=1,
        le=MOST_DAYS,
        description="How long what is still told of the person becomes nobody's.",
    )


class ErasedOut(BaseModel):
    """What was found of the person. All of it is gone, or nobody's; no sum has changed."""

    calls: int
    contents: int = Field(description="Calls whose captured prompt and answer are deleted.")
    judged_calls: int
    feedback: int
    outcomes: int
    events: int
    dead_letters: int
    sums: int = Field(description="Rows of the sums by user and day.")
    accounts: int = Field(description="Accounts and leases of budgets.")
    alerts: int
    damaged_files: int
    exports: int = Field(description="Files in DATA_DIR/exports on the gateway's machine: all were deleted.")
    left: list[str] = Field(description="What operators named after the person: change or delete it.")
    copies_may_stay: bool = Field(
        description="SQLite's file was too large to be written anew at once (1 GiB), there was no room for it, or "
        "somebody held the file: copies may stay in unused parts of it and in its log until 'weighbridge db rewrite'."
    )


class PrivacyDeps(msgspec.Struct, frozen=True):
    """What erasing and telling need."""

    address: Address
    data_dir: Path
    salt: Callable[[], SecretStr | None] = lambda: None
    """User ids are kept as a hash under this; ``None``: as they are."""

    def person(self, user: str, tenant: str | None) -> Person:
        """Somebody, by the id that apps use. Also what was kept while ids were not hashed is found."""
        return person_of(user, tenant, self.salt())


def person_of(user: str, tenant: str | None, salt: SecretStr | None) -> Person:
    """Ids as they are kept: cut, and hashed where that is wanted."""
    plain = storable(user)[:MAX_VALUE]
    return Person((plain,) if salt is None else (plain, hashed(plain, salt)), tenant)


class Users:
    """Handlers over everything that is kept."""

    def __init__(self, deps: PrivacyDeps) -> None:
        self._deps = deps
        self._running: set[asyncio.Task[Report]] = set()

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        errors = (400, 401, 403, 503)
        return (
            Endpoint(
                PATH,
                self.erase,
                "Erase a person; sums stay",
                ErasedOut,
                EraseQuery,
                errors,
                method="DELETE",
                admin=True,
            ),
            Endpoint(
                f"{PATH}/export",
                self.tell,
                "All that is kept of a person, as JSON Lines",
                None,
                PersonQuery,
                errors,
                admin=True,
                media=("application/x-ndjson",),
            ),
        )

    async def erase(self, request: web.Request) -> web.Response:
        """Erase. A client that goes away does not stop it."""
        query = parse_query(request.query, EraseQuery)
        person = self._deps.person(request.match_info["id"], query.tenant)
        actor = viewer_of(request).name
        work = erase(self._deps.address, self._deps.data_dir, person, actor, days=query.days)
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            report = await asyncio.shield(task)
        except OSError as error:
            message = f"The database is clean, but a file can't be changed: {error.strerror}. Do it again."
            raise ApiError(500, "files_left", message) from error
        return json_response(erased_out(report))

    async def tell(self, request: web.Request) -> web.StreamResponse:
        """All rows, sent as they are read. A file that can't be finished ends in a cut connection."""
        query = parse_query(request.query, PersonQuery)
        person = self._deps.person(request.match_info["id"], query.tenant)
        db, control = PrivateDatabase(self._deps.address), control_of(self._deps.address)
        try:
            headers = {"Content-Type": "application/x-ndjson"}
            return await streamed(request, headers, told(db, control, person))
        except ControlUnavailable as error:
            raise StoreUnavailable(str(error)) from error
        finally:
            await db.close()
            await control.close()


def erased_out(report: Report) -> ErasedOut:
    """As the API shows it."""
    done = msgspec.structs.asdict(report.done)
    return ErasedOut(**done, left=report.left, copies_may_stay=report.copies_may_stay)
