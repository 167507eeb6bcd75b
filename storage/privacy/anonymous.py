"""A record without the person it was made for. Pure; counts and money stay as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

import msgspec

from telemetry.record import CallRecord

IsErased = Callable[[str], bool]
_OF_THE_PERSON = ("user", "session")


def anonymised(record: CallRecord, is_erased: IsErased) -> CallRecord:
    """The record without user and session, and without tags that name the user; the same object if it is not theirs.

    A call that names no user, or another one, loses a session or a tag only if that is nothing but an erased id.
    """
    who = record.who
    own = who.user is not None and is_erased(who.user)
    if own:
        assert who.user is not None
        user, tags = None, tags_without(who.tags, who.user)
    else:
        user, tags = who.user, tuple(pair for pair in who.tags if not is_erased(pair[1]))
    session = None if own or (who.session is not None and is_erased(who.session)) else who.session
    if not own and session == who.session and len(tags) == len(who.tags):
        return record
    gone = {name for name in _OF_THE_PERSON if getattr(who, name) is not None}
    gone -= {name for name, kept in (("user", user), ("session", session)) if kept is not None}
    sources = tuple(pair for pair in who.sources if pair[0] not in gone)
    return msgspec.structs.replace(
        record, who=msgspec.structs.replace(who, user=user, session=session, tags=tags, sources=sources)
    )


def tags_without(pairs: Iterable[tuple[str, str]], user: str) -> tuple[tuple[str, str], ...]:
    """Tags that name the user neither in their name nor in their value, also as a word among others (``user:ada``)."""
    names = _word(user).search
    return tuple((name, value) for name, value in pairs if not names(name) and not names(value))


@lru_cache(maxsize=64)
def _word(user: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![^\W_]){re.escape(user)}(?![^\W_])")
