"""By what sums are kept apart, and the number a combination of values goes by."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec

Group = tuple[str | None, ...]
"""Values of :data:`DIMENSIONS`, in their order."""


class Dimension(enum.StrEnum):
    """What calls can be grouped and filtered by; the value is the name in an answer and in a query.

    The sums by hour and day hold all up to ``OUTCOME_CLASS``; the rest needs the sums by user or the calls themselves.
    """

    TENANT = "tenant_id"
    TEAM = "team"
    PROJECT = "project"
    FEATURE = "feature"
    ENVIRONMENT = "environment"
    PROVIDER = "provider"
    MODEL = "model"
    """The model that answered, else the one that was asked for."""
    ROUTE_POLICY = "route_policy"
    EXPERIMENT = "experiment"
    VARIANT = "variant"
    OUTCOME_CLASS = "outcome_class"
    USER = "user_id"
    SESSION = "session_id"
    KEY = "key_id"
    APP = "app"
    AGENT = "agent"
    PROMPT = "prompt_id"
    PROMPT_VERSION = "prompt_version"
    OPERATION = "operation"
    OUTCOME = "outcome"


DIMENSIONS: Final = tuple(Dimension)[: list(Dimension).index(Dimension.OUTCOME_CLASS) + 1]
"""Those of the sums by hour and day, in the order of a :data:`Group`."""
USER_DIMENSIONS: Final = (Dimension.TENANT, Dimension.TEAM, Dimension.USER)
"""Those of the sums by user and day."""

_encode = msgspec.msgpack.Encoder().encode


def group_id(group: Sequence[str | None]) -> int:
    """63 bits of a hash of the values: the same in every database, so that nobody has to hand out numbers."""
    return int.from_bytes(blake2b(_encode(group), digest_size=8).digest(), "big") >> 1


def packed_id(group: Sequence[str | None]) -> bytes:
    """The same as eight bytes."""
    return group_id(group).to_bytes(8, "big")
