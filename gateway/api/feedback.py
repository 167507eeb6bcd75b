"""``POST /api/feedback``: what users, judges and systems think of an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final, Literal

from aiohttp import web
from pydantic import BaseModel, Field

from gateway.api.body import body_of
from gateway.api.known_calls import CallNamed, KnownCalls, Name, QualityDeps
from gateway.api.problems import ApiError, json_response
from gateway.api.routes import Endpoint
from gateway.api.viewer import Viewer, viewer_of
from storage.mend import storable
from storage.quality.keep import Fate, Forgotten, Kept, OtherCall, Rating
from telemetry.addresses import shortened_in
from telemetry.quality import PPM, STARS, Opinion, Scale, Source
from telemetry.record import CallRecord
from telemetry.redact import Redactor

LONGEST_COMMENT: Final = 4000
"""Characters."""


class FeedbackIn(CallNamed):
    """A rating of one call: exactly one of ``rating``, ``stars`` and ``score``."""

    rating: Literal[-1, 1] | None = Field(
        default=None, description="Thumb down or up; for one to five see stars."
    )
    stars: int | None = Field(default=None, ge=1, le=STARS, description="One to five.")
    score: Decimal | None = Field(default=None, ge=0, le=1, description="From 0 to 1.")
    source: Source = Field(default=Source.USER, description="Who says so.")
    user: Name | None = Field(
        default=None, description="User or judge; a user's feedback without one is the call's own user's."
    )
    label: Name | None = Field(default=None, description="A word of your own: what it is about.")
    comment: str | None = Field(
        default=None, description="Free text; dropped unless quality.store_comments is on."
    )
    id: Name | None = Field(
        default=None,
        description="Your id of this feedback: the same twice is kept once. Without one, source and user have one "
        "rating of each call.",
    )

    def opinion(self) -> Opinion:
        """The rating on the common scale. Raises :class:`ApiError` 400."""
        if [self.rating, self.stars, self.score].count(None) != 2:
            raise ApiError(400, "invalid_body", "Give exactly one of rating, stars, score.", param="rating")
        if self.rating is not None:
            return Opinion(self.source, Scale.THUMBS, PPM if self.rating == 1 else 0)
        if self.stars is not None:
            return Opinion(self.source, Scale.STARS, (self.stars - 1) * PPM // (STARS - 1))
        assert self.score is not None
        return Opinion(self.source, Scale.SCORE, int((self.score * PPM).to_integral_value()))


class KeptOut(BaseModel):
    """Where it is kept."""

    id: str
    call_id: str
    status: Fate
    revision: int = Field(description="1, and one more for each change.")
    comment_stored: bool | None = Field(default=None, description="null: there was none.")


class Feedback:
    """Handlers over the quality log."""

    def __init__(self, deps: QualityDeps, pending: Callable[[str], CallRecord | None]) -> None:
        self._deps = deps
        self._calls = KnownCalls(deps, pending)
        self._redactor = Redactor()

    def endpoints(self) -> tuple[Endpoint, ...]:
        """What this resource serves."""
        return (
            Endpoint(
                "/api/feedback",
                self.give,
                "Say what an answer was worth",
                KeptOut,
                errors=(400, 401, 403, 404, 409, 413, 503),
                method="POST",
                body=FeedbackIn,
                admin=True,
                apps=True,
            ),
        )

    async def give(self, request: web.Request) -> web.Response:
        """Keep one rating."""
        return json_response(await self.keep(await body_of(request, FeedbackIn), viewer_of(request)))

    async def keep(self, said: FeedbackIn, viewer: Viewer, pauses: Iterator[float] | None = None) -> KeptOut:
        """The same, without HTTP (``pauses``: :meth:`KnownCalls.find`). Raises :class:`ApiError`."""
        if said.comment is not None and len(said.comment) > LONGEST_COMMENT:
            message = f"The comment has more than {LONGEST_COMMENT} characters."
            raise ApiError(413, "too_large", message, param="comment")
        opinion = said.opinion()
        call = await self._calls.find(said, viewer, pauses)
        wanted = said.comment is not None and self._deps.store_comments()
        rating = Rating(
            opinion,
            self._deps.user(None if said.user is None else storable(said.user)),
            None if said.label is None else storable(said.label),
            shortened_in(self._redactor.text(storable(said.comment or ""))) if wanted else None,
            said.id,
        )
        try:
            kept = await self._deps.log.rate(call, rating)
        except OtherCall as error:
            raise other_call() from error
        except Forgotten as error:
            raise forgotten() from error
        return kept_out(kept, None if said.comment is None else wanted)


def kept_out(kept: Kept, comment_stored: bool | None = None) -> KeptOut:
    """As the API shows it."""
    return KeptOut(
        id=kept.id,
        call_id=kept.call_id,
        status=kept.fate,
        revision=kept.revision,
        comment_stored=comment_stored,
    )


def other_call() -> ApiError:
    """409 for an id that is taken."""
    return ApiError(409, "id_taken", "This id was given to what was said of another call.", param="id")


def forgotten() -> ApiError:
    """404 for a call whose feedback was deleted with its age."""
    return ApiError(
        404, "call_not_found", "This call is older than what is kept: nothing is said of it any more."
    )
