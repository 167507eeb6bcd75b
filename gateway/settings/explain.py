"""Turns validation errors into problems a person can act on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ByteSize, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gateway.settings.problem import Problem, did_you_mean, listed
from gateway.settings.sections import ENV_DELIMITER, ENV_PREFIX, ProviderSection, Settings

_BOUNDS: Final = {
    "greater_than_equal": ("ge", "at least"),
    "greater_than": ("gt", "more than"),
    "less_than_equal": ("le", "at most"),
    "less_than": ("lt", "less than"),
}
_TYPES: Final = {
    "int_type": ("is not a whole number", "Write a whole number without quotes"),
    "int_parsing": ("is not a whole number", "Write a whole number without quotes"),
    "int_from_float": ("is not a whole number", "Write a whole number without quotes"),
    "float_type": ("is not a number", "Write a number without quotes"),
    "float_parsing": ("is not a number", "Write a number without quotes"),
    "finite_number": ("is not a finite number", "Write a number"),
    "bool_type": ("is neither true nor false", "Write true or false without quotes"),
    "bool_parsing": ("is neither true nor false", "Write true or false without quotes"),
    "string_type": ("is not text", "Write it in quotes"),
    "string_too_short": ("is empty", "Write a value or leave the key out"),
    "path_type": ("is not a path", "Write it in quotes"),
    "byte_size": ("is not a size", 'Write bytes as a number, or text such as "8 MiB"'),
    "byte_size_unit": ("has an unknown unit", 'Write bytes as a number, or text such as "8 MiB"'),
    "tuple_type": ("is not a list", "Write it as [[double.brackets]] tables"),
}

_MAY_HOLD_A_KEY: Final = frozenset(("url", "base_url", "endpoint", "api_key_env", "admin_token_env"))
"""Where people put a password or the key itself by mistake."""
OURS: Final = frozenset(f"{ENV_PREFIX}{name}" for name in ("URL", "CONFIG", "ADMIN_TOKEN"))
"""Variables that are no keys of the settings."""
_MOVED: Final[dict[tuple[int | str, ...], str]] = {("storage", "retention_days"): "retention.calls_days"}


def explain(error: ValidationError, given: Mapping[str, Any], environ: Mapping[str, str]) -> list[Problem]:
    """One problem per thing that is wrong, without the values of secrets."""
    return [_problem(details, given, environ) for details in error.errors(include_url=False)]


def unknown_variables(environ: Mapping[str, str]) -> list[Problem]:
    """``WEIGHBRIDGE_SECTION__KEY`` variables whose section does not exist.

    Names without the double underscore are left alone: container platforms inject some of their own
    (``WEIGHBRIDGE_PORT=tcp://...`` for a service of that name).
    """
    known = [f"{ENV_PREFIX}{section.upper()}{ENV_DELIMITER}" for section in Settings.model_fields]
    problems = []
    for name in environ:
        upper = name.upper()
        if upper.startswith(ENV_PREFIX) and ENV_DELIMITER in upper and not upper.startswith(tuple(known)):
            section = upper.removeprefix(ENV_PREFIX).partition(ENV_DELIMITER)[0]
            hint = (
                did_you_mean(section, Settings.model_fields).upper().replace("DID YOU MEAN", "Did you mean")
            )
            problems.append(
                Problem(
                    name,
                    "names no section of the settings",
                    f"{hint}Sections: {listed(Settings.model_fields)}",
                )
            )
    return problems


def misspelt_variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Variables that name a key as nobody reads it, and how they would be: ``WEIGHBRIDGE_SERVER_PORT``.

    What a container platform injects for a service of that name (``tcp://...``) is left alone.
    """
    meant: dict[str, set[str]] = {}
    for section, keys in _keys():
        for key in keys:
            for name in (f"{section}_{key}", key):
                meant.setdefault(f"{ENV_PREFIX}{name.upper()}", set()).add(variable((section, key)))
    for name, value in environ.items():
        variables = meant.get(name.upper(), set())
        if len(variables) == 1 and name.upper() not in OURS and not value.startswith(("tcp://", "udp://")):
            yield name, min(variables)


def variable(location: Iterable[int | str]) -> str:
    """The environment variable of a key: ``("server", "port")`` -> ``WEIGHBRIDGE_SERVER__PORT``."""
    return ENV_PREFIX + ENV_DELIMITER.join(str(part).upper() for part in location)


def dotted(location: Iterable[int | str]) -> str:
    """``("pricing", "override", 0)`` -> ``pricing.override[0]``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _problem(details: ErrorDetails, given: Mapping[str, Any], environ: Mapping[str, str]) -> Problem:
    location = tuple(part for part in details["loc"] if part != "[key]")
    what, how = _reason(details, location)
    key = dotted(location)
    name = variable(location)
    origin = next((n for n in environ if n.upper() == name), None)
    if origin is not None:
        key = f"{key} (from {origin})"
    return Problem(key, _with_value(what, details, location, given), how)


def _with_value(
    what: str, details: ErrorDetails, location: tuple[int | str, ...], given: Mapping[str, Any]
) -> str:
    if (
        details["type"] in ("extra_forbidden", "missing")
        or details["loc"][-1] == "[key]"
        or _secret(location)
    ):
        return what
    value: Any = given
    for part in location:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return what
    shown = repr(value)
    return f"{shown if len(shown) <= 60 else shown[:57] + '...'} {what}"


def _secret(location: tuple[int | str, ...]) -> bool:
    """Values that are, or may hold, a credential are never shown; nor are those of unknown keys."""
    info = _field(location)
    if info is None:
        return True
    return SecretStr.__name__ in str(info.annotation) or location[-1] in _MAY_HOLD_A_KEY


def _reason(details: ErrorDetails, location: tuple[int | str, ...]) -> tuple[str, str]:
    kind, context = details["type"], details.get("ctx", {})
    if kind == "weighbridge":
        return str(context["what"]), str(context["how"])
    if kind == "extra_forbidden":
        return _unknown(location)
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"is out of range: it must be {words} {context[bound]:g}", _default(location)
    if kind in ("enum", "literal_error"):
        expected = str(context["expected"])
        choices = [part.strip(" '") for part in expected.replace(" or ", ", ").split(",")]
        return "is not a known choice", f"Choose {_either(choices)}"
    if kind in ("model_type", "dict_type", "model_attributes_type"):
        return "is not a table", f"Write [{dotted(location)}] on a line of its own, and its keys below"
    if kind in _TYPES:
        what, how = _TYPES[kind]
        return what, f"{how}. {_default(location)}"
    return details["msg"][:1].lower() + details["msg"][1:], _default(location)


def _either(choices: list[str]) -> str:
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"


def _unknown(location: tuple[int | str, ...]) -> tuple[str, str]:
    model = _model(location[:-1])
    names = list(model.model_fields) if model is not None else []
    table, moved = dotted(location[:-1]), _MOVED.get(location)
    if moved is not None:
        section, _, key = moved.partition(".")
        return f"is now {moved}", f"Write {key} below [{section}]"
    name = str(location[-1])
    homes = listed([f"[{section}]" for section, keys in _keys() if name in keys])
    if not table:
        if homes:
            return "stands in no section", f"Write it below {homes}"
        return "is not a known table", f"{did_you_mean(name, names)}Tables: {listed(names)}"
    hint = did_you_mean(name, names)
    if homes and not hint and len(location) == 2:
        return f"is not a key of [{table}]", f"Write it below {homes}"
    return "is not a known key", f"{hint}Keys of [{table}]: {listed(names)}"


def _keys() -> Iterator[tuple[str, Collection[str]]]:
    """Each section of the settings and what it knows."""
    for section in Settings.model_fields:
        model = _model((section,))
        if model is not None:
            yield section, model.model_fields


def _default(location: tuple[int | str, ...]) -> str:
    info = _field(location)
    if info is None or info.default in (None, (), {}):
        return "Leave it out if you do not need it"
    return f"Leave it out for the default, {default_text(info.default)}"


def default_text(value: Any) -> str:
    """A default as it would be written in TOML, sizes with their unit."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, ByteSize):
        return f'"{value.human_readable(separator=" ").replace(".0 ", " ")}"'
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, tuple):
        return f"[{', '.join(default_text(one) for one in value)}]"
    return f'"{value}"'


def _field(location: tuple[int | str, ...]) -> FieldInfo | None:
    model = _model(location[:-1])
    return model.model_fields.get(str(location[-1])) if model is not None else None


def _model(location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model behind a table; ``None`` below the tables we know."""
    if not location:
        return Settings
    if location[0] == "providers":
        return ProviderSection if len(location) == 2 else None
    info = Settings.model_fields.get(str(location[0]))
    if info is None or len(location) != 1:
        return None
    annotation = info.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
