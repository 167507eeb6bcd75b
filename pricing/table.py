"""The written form of prices: the ``[[price]]`` tables of user overrides and of our own corrections.

Figures are USD per million tokens or characters, per thousand searches, pages, images or requests, per
hour of audio (``pricing.units``). They are read as decimals and kept as whole atto-USD; one that is not a
whole number of atto-USD per unit is refused rather than rounded.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from numbers import Number
from typing import Any, TypeVar

import msgspec

from pricing.rates import EVERY_DAY, Period, Rates, Tier
from pricing.units import UNITS, table_size

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CONDITIONS: Mapping[str, tuple[str, ...]] = {
    "processing": ("batch",),
    "service_tier": ("flex", "priority", "fast"),
    "speed": ("fast",),
    "geo": ("us",),
    "region": ("regional",),
}
"""What ``when`` may say, and the values a call can have."""

FREE = Rates(**dict.fromkeys(UNITS, 0))

MAX_USD_PER_UNIT = 1_000_000

T = TypeVar("T")


class PriceTableError(ValueError):
    """A price table that cannot be used. The message names the key, what is wrong, and what would be right."""


class TierTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rates above a number of input tokens."""

    above: int
    rates: dict[str, Any]


class PriceTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"since": "from"}):
    """One ``[[price]]`` table."""

    provider: str
    models: tuple[str, ...] = ()
    """Exact names; ``*``: every model of the provider that nothing else names."""
    starts_with: tuple[str, ...] = ()
    since: Any = None
    """``from``: first day (UTC) or moment, a TOML date or an ISO 8601 text."""
    until: Any = None
    """First day or moment no longer included."""
    hours: str | None = None
    """Daily UTC window, ``"01:00-04:00"``."""
    weekdays: tuple[str, ...] = ()
    free: bool = False
    rates: dict[str, Any] = {}
    """Unit -> USD, a number or a text of one."""
    tiers: tuple[TierTable, ...] = ()
    when: dict[str, str] = {}
    source: str | None = None
    """Where the figures come from, for people."""
    approximate: str | None = None
    """Why costs from these rates are estimates."""


_TABLES = ((re.compile(r"tiers\[\d+\]$"), TierTable), (re.compile(r"price\[\d+\]$"), PriceTable))
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`")
_WORDS = {
    "array": "a list",
    "object": "a table",
    "str": "a text",
    "int": "a whole number",
    "bool": "true or false",
}
"""What TOML calls them."""


def parse_toml(text: str, type_: type[T], where: str) -> T:
    """Parses TOML into ``type_``; raises :class:`PriceTableError` naming the key."""
    try:
        raw: Mapping[str, Any] = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise PriceTableError(f"{where}: not valid TOML: {error}") from error
    except ArithmeticError as error:
        raise PriceTableError(f"{where}: not valid TOML: a number is beyond all bounds") from error
    try:
        return msgspec.convert(raw, type_)
    except msgspec.ValidationError as error:
        raise PriceTableError(f"{where}: {what_is_wrong(error)}") from error


def what_is_wrong(error: msgspec.ValidationError) -> str:
    """Where, what, and what would be right: ``price[0].model: unknown key; known are provider, models, ...``."""
    what, _, place = str(error).partition(" - at `$")
    place = place.strip("`.")
    unknown = _UNKNOWN.fullmatch(what)
    if unknown is not None:
        shape = next((one for end, one in _TABLES if end.search(place)), None)
        known = f"; known are {', '.join(shape.__struct_encode_fields__)}" if shape is not None else ""
        return f"{f'{place}.' if place else ''}{unknown[1]}: unknown key{known}"
    for name, word in _WORDS.items():
        what = what.replace(f"`{name}`", word)
    what = f"{what[:1].lower()}{what[1:]}"
    return f"{place}: {what}" if place else what


def _usd(value: object, key: str) -> Decimal:
    """A figure of a table as a decimal; :class:`PriceTableError` if it is none."""
    try:
        if isinstance(value, bool) or not isinstance(value, Number | str):
            raise InvalidOperation
        usd = Decimal(str(value))  # also of a number read in binary: its shortest text is what was written
    except InvalidOperation as error:
        raise PriceTableError(f"{key}: {value!r} is not a number; give USD") from error
    if not usd.is_finite() or usd < 0:
        raise PriceTableError(f"{key}: {value} is not a price; give USD, 0 or more")
    return usd


def atto_rate(unit: str, usd: Decimal, key: str) -> int:
    """Whole atto-USD per unit of a table's figure."""
    if usd > table_size(unit) * MAX_USD_PER_UNIT:
        raise PriceTableError(f"{key}: {usd} is more than a million USD per unit")
    scaled = usd.scaleb(18)
    whole = int(scaled)
    quotient, remainder = divmod(whole, table_size(unit))
    if scaled != whole or remainder:
        raise PriceTableError(f"{key}: {usd} has more digits than a rate can hold (1e-18 USD per unit)")
    return quotient


def convert_rates(table: Mapping[str, object], key: str) -> Rates:
    """Rates of a ``rates`` table."""
    for unit in table:
        if unit not in UNITS:
            raise PriceTableError(f"{key}.{unit}: unknown unit; known are {', '.join(UNITS)}")
    return Rates(
        **{
            unit: atto_rate(unit, _usd(value, f"{key}.{unit}"), f"{key}.{unit}")
            for unit, value in table.items()
        }
    )


def _moment(value: object, key: str) -> int:
    if value is None:
        return 0
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise PriceTableError(f"{key}: {value!r} is not a date like 2026-01-31") from error
    if not isinstance(value, date):
        raise PriceTableError(f"{key}: {value!r} is not a date like 2026-01-31")
    if not isinstance(value, datetime):
        value = datetime.combine(value, time(), tzinfo=UTC)
    elif value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    since_epoch = value - datetime(1970, 1, 1, tzinfo=UTC)
    return since_epoch.days * 86_400 + since_epoch.seconds


def _window(text: str | None, key: str) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        start, end = (time.fromisoformat(part.strip()) for part in text.split("-"))
    except ValueError as error:
        raise PriceTableError(
            f'{key}.hours: {text!r} is not a daily window like "01:00-04:00" (UTC)'
        ) from error
    return (
        start.hour * 3600 + start.minute * 60 + start.second,
        end.hour * 3600 + end.minute * 60 + end.second,
    )


def _weekdays(names: tuple[str, ...], key: str) -> int:
    if not names:
        return EVERY_DAY
    bits = 0
    for name in names:
        if name not in WEEKDAYS:
            raise PriceTableError(f"{key}.weekdays: {name!r} is not one of {', '.join(WEEKDAYS)}")
        bits |= 1 << WEEKDAYS.index(name)
    return bits


def convert_when(when: Mapping[str, str], key: str) -> dict[str, str]:
    """Checks a ``when`` table."""
    for name, value in when.items():
        if value not in CONDITIONS.get(name, ()):
            known = "; ".join(
                f"{condition} = {' | '.join(values)}" for condition, values in CONDITIONS.items()
            )
            raise PriceTableError(f"{key}.when.{name}: {value!r} is not a condition; known are {known}")
    return dict(when)


def check_names(table: PriceTable, key: str) -> None:
    """A table has to say whose models it is for. ``key`` says where it stands (``price[3]``), for messages."""
    if not table.provider:
        raise PriceTableError(f"{key}.provider: must name a provider")
    if not table.models and not table.starts_with:
        raise PriceTableError(f"{key}: name the models it is for in `models` or `starts_with`")


def convert_period(table: PriceTable, key: str) -> Period:
    """The dated rates of one table."""
    if table.free == bool(table.rates):
        raise PriceTableError(f"{key}: give either `rates` or `free = true`")
    since, until = _moment(table.since, f"{key}.from"), _moment(table.until, f"{key}.until")
    if until and until <= since:
        raise PriceTableError(f"{key}.until: must be later than `from`")
    above = [tier.above for tier in table.tiers]
    if above != sorted(set(above)) or (above and above[0] < 0):
        raise PriceTableError(f"{key}.tiers: `above` must rise from tier to tier")
    return Period(
        FREE if table.free else convert_rates(table.rates, f"{key}.rates"),
        tuple(
            Tier(tier.above, convert_rates(tier.rates, f"{key}.tiers[{index}].rates"))
            for index, tier in enumerate(table.tiers)
        ),
        since=since,
        until=until,
        window=_window(table.hours, key),
        weekdays=_weekdays(table.weekdays, key),
    )
