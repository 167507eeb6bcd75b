"""Query parameters of the API: checked against a model, and what is wrong with one named."""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from types import UnionType
from typing import Any, Final, TypeVar, get_args, get_origin

from multidict import MultiMapping
from pydantic import BaseModel, ValidationError

from gateway.api.problems import ApiError, bad_value
from gateway.settings.problem import did_you_mean

_AGO: Final = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
TIME_HELP: Final = "an ISO 8601 time (2026-11-20T12:00:00Z, 2026-11-20) or an age (15m, 2h, 7d)"
Model = TypeVar("Model", bound=BaseModel)


def parse_query(query: MultiMapping[str], model: type[Model]) -> Model:
    """The parameters as ``model``; those it has as tuples may be given several times.

    Raises :class:`ApiError` 400 naming the first that can't be used.
    """
    given: dict[str, Any] = {}
    for name, value in query.items():
        if _is_many(model, name):
            given.setdefault(name, []).append(value)
        elif name in given:
            message = f"{name[:64]} is given twice; once is allowed."
            raise ApiError(400, "invalid_parameter", message, param=name[:64])
        else:
            given[name] = value
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise _explained(error.errors(include_url=False)[0], given, model) from None


def moment_of(param: str, text: str, now: datetime, zone: tzinfo = UTC) -> datetime:
    """The time a parameter names; one without a time zone is of ``zone``. Raises :class:`ApiError` 400."""
    ago = _AGO.fullmatch(text)
    try:
        if ago is not None:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        # A "+" of a time zone that was not escaped arrives as a space.
        moment = datetime.fromisoformat(re.sub(r" (\d\d:?\d\d)$", r"+\1", text))
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)
        moment.astimezone(UTC)  # at the ends of the calendar there may be no such time
        return moment
    except (ValueError, OverflowError):
        raise ApiError(400, "invalid_parameter", f"{param} must be {TIME_HELP}.", param=param) from None


def _is_many(model: type[BaseModel], name: str) -> bool:
    field = model.model_fields.get(name)
    return field is not None and get_origin(field.annotation) is tuple


def _explained(details: Any, given: Mapping[str, Any], model: type[BaseModel]) -> ApiError:
    param = str(details["loc"][0])[:64]
    kind = details["type"]
    if kind == "extra_forbidden":
        known = list(model.model_fields)
        taken = f"Taken: {', '.join(known)}." if known else "None is taken."
        message = f"There is no parameter {param!r} here. {did_you_mean(param, known)}{taken}"
        return ApiError(400, "unknown_parameter", message, param=param, allowed=known)
    if kind == "enum":
        return bad_value(param, str(details["input"]), _choices(model.model_fields[param].annotation))
    if kind.startswith("bool"):
        return bad_value(param, given[param], ["true", "false"])
    if kind == "too_long":  # of a tuple; a text is string_too_long
        context = details["ctx"]
        message = f"{param}: at most {context['max_length']} values, not {context['actual_length']}."
        return ApiError(400, "invalid_parameter", message, param=param)
    message = f"{param}: {details['msg'][:1].lower()}{details['msg'][1:]}."
    return ApiError(400, "invalid_parameter", message, param=param)


def _choices(annotation: Any) -> list[str]:
    """The values of the enumeration within an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return [str(choice.value) for choice in annotation]
    if get_origin(annotation) in (tuple, UnionType) or get_args(annotation):
        return [value for part in get_args(annotation) for value in _choices(part)]
    return []
