"""What people send, held against a model: which field is wrong, why, what is allowed, how to mend it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, TypeVar

import msgspec
from pydantic import BaseModel, SecretStr, ValidationError, ValidationInfo
from pydantic_core import PydanticCustomError

from gateway.settings.problem import did_you_mean

Model = TypeVar("Model", bound=BaseModel)
_SHOWN: Final = 64
"""Characters of a wrong value that are shown."""
_QUOTED: Final = re.compile(r"'([^']*)'")


class Known(msgspec.Struct, frozen=True):
    """What a check may look up; validators find it in their ``info.context``."""

    now_ms: int
    """Milliseconds since 1970, UTC."""
    providers: Collection[str] = ()
    """Their names in the settings."""
    salt: SecretStr | None = None
    """User ids are kept as a hash under it; ``None``: as they are."""

    def also(self, providers: Iterable[str]) -> Known:
        """With more providers: those that were let through before."""
        return Known(self.now_ms, {*self.providers, *providers}, self.salt)


def known_of(info: ValidationInfo) -> Known:
    """What :func:`fit` was given."""
    known = info.context
    assert isinstance(known, Known)
    return known


class Fault(msgspec.Struct, frozen=True):
    """One thing to mend."""

    place: str
    """The field, with dots where it is within another; empty: all of it."""
    what: str
    how: str = ""
    allowed: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.place}: {self.what}." if self.place else f"{self.what}."
        return f"{text} {self.how}." if self.how else text


class Unfit(ValueError):  # noqa: N818 - what it is, not what went wrong with us
    """What was sent cannot be used; ``faults`` is never empty."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__(" ".join(str(fault) for fault in self.faults))


def wrong(what: str, how: str, allowed: Iterable[str] = ()) -> PydanticCustomError:
    """For a validator to raise."""
    return PydanticCustomError("weighbridge", "{what}", {"what": what, "how": how, "allowed": list(allowed)})


def not_one_of(value: object, allowed: Iterable[str]) -> PydanticCustomError:
    """The same, for a value outside a fixed set."""
    names = list(allowed)
    text = str(value)
    hint = did_you_mean(text, names)
    return wrong(f"{text[:_SHOWN]!r} is not known", f"{hint}Allowed: {', '.join(names)}", names)


def fit(model: type[Model], given: Mapping[str, Any], known: Known) -> Model:
    """The model of what is given. Raises :class:`Unfit` with everything that is wrong."""
    try:
        return model.model_validate(given, context=known)
    except ValidationError as error:
        # A name that is mistyped comes first: what else is wrong may follow from it.
        found = sorted(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
        raise Unfit(_fault(model, one) for one in found) from None


def _fault(model: type[BaseModel], error: Any) -> Fault:
    place = ".".join(str(part) for part in error["loc"])
    kind, context = error["type"], error.get("ctx", {})
    if kind == "weighbridge":
        return Fault(place, context["what"], context["how"], tuple(context["allowed"]))
    if kind == "extra_forbidden":
        fields = tuple(model.model_fields)
        name = str(error["loc"][-1])
        how = f"{did_you_mean(name, fields)}Fields: {', '.join(fields)}"
        return Fault(place[:_SHOWN], "is not a field here", how, fields)
    if kind in ("enum", "literal_error"):
        inner = not_one_of(error["input"], _QUOTED.findall(str(context["expected"]))).context or {}
        return Fault(place, inner["what"], inner["how"], tuple(inner["allowed"]))
    field = model.model_fields.get(str(error["loc"][0])) if error["loc"] else None
    meant = (field.description or "").rstrip(".") if field is not None else ""
    if kind == "missing":
        return Fault(place, "is missing", meant)
    message = str(error["msg"])
    return Fault(place, f"{message[:1].lower()}{message[1:]}", meant)
