"""Amounts, times and names as people write them, and back. Money is read exactly, never by way of a float."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, Inexact, Underflow
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema

from gateway.api.fit import known_of, wrong
from gateway.attribution import MAX_VALUE
from gateway.settings.problem import did_you_mean
from pricing.cost import NANO_PER_USD
from storage.budgets.model import PPM

MOST_USD: Final = 1_000_000_000
MOST_COUNT: Final = 1_000_000_000_000_000
"""Tokens or calls."""
MOST_SHARE: Final = 10
"""1,000 %: whoever writes more has most likely written per cent."""
LONGEST_NAME: Final = 100
"""Characters."""
_EXACT: Final = Context(prec=60, traps=[Inexact, Underflow])
"""Raises where anything would be rounded away."""
MOST_GRACE_MS: Final = 90 * 86_400_000
_MOST_YEARS_MS: Final = 100 * 366 * 86_400_000
_SPAN: Final = re.compile(r"(\d{1,6})\s*([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DECIMAL: Final = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})")


def decimal_of(value: object, how: str) -> Decimal:
    """A number as it is written. Raises for anything else; a float has lost what was written."""
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, int) and not isinstance(value, bool):
        number = Decimal(value)
    elif isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
        number = Decimal(value.strip())
    elif isinstance(value, float):
        number = Decimal(str(value))
    else:
        raise wrong(f"{str(value)[:40]!r} is not a number", how)
    if not number.is_finite():
        raise wrong(f"{number} is not a number", how)
    return number


def nano_usd(value: object) -> int:
    """``"500.00"`` -> nano-USD, exact."""
    how = f'Write USD as decimal text such as "500.00", from 0 to {MOST_USD}, with 9 decimals at most'
    number = decimal_of(value, how)
    if number < 0:
        raise wrong(f"{number} is below 0", how)
    if number > MOST_USD:
        raise wrong(f"{str(number)[:40]} is above {MOST_USD} USD", how)
    try:
        nano = _EXACT.multiply(number, Decimal(NANO_PER_USD))
        return int(_EXACT.to_integral_exact(nano))
    except ArithmeticError:
        raise wrong(f"{str(number)[:40]} has more than 9 decimals", how) from None


def whole(value: object, what: str) -> int:
    """A number of tokens or calls."""
    how = f"Write a whole number of {what}, from 0 to {MOST_COUNT}"
    number = decimal_of(value, how)
    if number != number.to_integral_value() or not 0 <= number <= MOST_COUNT:
        raise wrong(f"{str(number)[:40]} is not usable", how)
    return int(number)


def share_ppm(value: object) -> int:
    """``0.5`` or ``"50%"`` -> millionths."""
    how = f"Write a share of the limit: 0.5 for 50 %, 1 for all of it; above 0, at most {MOST_SHARE} (1000 %)"
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and text.endswith("%"):
        number = decimal_of(text[:-1].strip(), how) / 100
    else:
        number = decimal_of(text, how)
    ppm = int(number * PPM) if 0 < number <= MOST_SHARE else 0
    if not ppm:
        raise wrong(f"{str(value)[:40]} is not usable", how)
    return ppm


def zone(value: str) -> str:
    """An IANA time zone this machine knows."""
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = did_you_mean_zone(value)
        how = f"{hint}Write an IANA name such as Europe/Berlin or UTC"
        raise wrong(f"{value[:64]!r} is not a time zone this machine knows", how) from None
    return value


def did_you_mean_zone(value: str) -> str:
    """Also where only the town is given: ``berlin``."""
    zones = {name.lower(): name for name in sorted(available_timezones())}
    wanted = value.lower().replace(" ", "_")
    town = next((name for key, name in zones.items() if key.endswith(f"/{wanted}")), None)
    return f"Did you mean {town}? " if town else did_you_mean(value, zones.values())


def span_ms(value: str) -> int:
    """``24h``, ``30m``, ``7d``, ``0`` -> milliseconds. Raises ``ValueError``."""
    found = _SPAN.fullmatch(value.strip())
    if found is None:
        if value.strip() == "0":
            return 0
        raise ValueError("no span")
    return int(found[1]) * _SECONDS[found[2]] * 1000


def grace_ms(value: object) -> int:
    """``"24h"`` -> milliseconds; 90 days at most."""
    how = "Write a span such as 24h, 30m or 7d, 90d at most; 0 for none"
    try:
        span = span_ms(value if isinstance(value, str) else str(value))
    except ValueError:
        raise wrong(f"{str(value)[:40]!r} is not a span of time", how) from None
    if span > MOST_GRACE_MS:
        raise wrong(f"{str(value)[:40]} is too long", how)
    return span


def coming_ms(value: object, info: ValidationInfo) -> int | None:
    """A time to come: ISO 8601 (UTC if it does not say), or a span from now. Milliseconds since 1970."""
    if value is None:
        return None
    known = known_of(info)
    how = "Write a time to come: 2027-01-01, 2027-01-01T12:00:00Z, or a span from now such as 90d"
    text = value if isinstance(value, str) else ""
    if _SPAN.fullmatch(text.strip()):
        moment = known.now_ms + span_ms(text)
    else:
        moment = _iso_ms(str(value), how)
    if moment <= known.now_ms:
        raise wrong(f"{text[:40]} is in the past", how)
    if moment - known.now_ms > _MOST_YEARS_MS:
        raise wrong(f"{text[:40]} is more than a hundred years away", "Leave it out: then it never expires")
    return moment


def _iso_ms(text: str, how: str) -> int:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise wrong(f"{text[:40]!r} is not a time", how) from None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def moment_text(ms: int | None) -> str | None:
    """``2027-01-01T12:00:00Z``, with milliseconds where there are any."""
    if ms is None:
        return None
    seconds, rest = divmod(ms, 1000)
    fraction = f".{rest:03d}" if rest else ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


def share(ppm: int) -> float:
    """Millionths as a share: ``0.5``."""
    return ppm / PPM


def _line(value: str) -> str:
    if value != value.strip() or not value.isprintable():
        raise wrong(
            "is not one line of text", "Leave out line breaks, control characters and blanks around it"
        )
    return value


def _pattern(value: str) -> str:
    if not value.isascii() or " " in value or not value.isprintable():
        raise wrong(
            f"{value[:64]!r} is not a model's name", "Write it as apps do; * stands for anything: gpt-4o*"
        )
    return value


def _expiry_schema() -> dict[str, Any]:
    return {"type": ["string", "null"], "examples": ["2027-01-01T00:00:00Z", "90d"]}


Title = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), AfterValidator(_line)]
"""What a thing is called."""
Value = Annotated[str, Field(min_length=1, max_length=MAX_VALUE), AfterValidator(_line)]
"""What an attribute may be."""
ModelPattern = Annotated[str, Field(min_length=1, max_length=MAX_VALUE), AfterValidator(_pattern)]
Positive = Annotated[int, Field(ge=1, le=MOST_COUNT)]
Grace = Annotated[int, BeforeValidator(grace_ms), WithJsonSchema({"type": "string", "default": "24h"})]
"""Milliseconds, given as a span."""
Coming = Annotated[int | None, BeforeValidator(coming_ms), WithJsonSchema(_expiry_schema())]
"""Milliseconds since 1970, given as a time or a span."""
