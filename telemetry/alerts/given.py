"""Reading tables that people write (rules, channels): every key checked, and what is wrong with one named.

Tables come from the settings, from the API and from the database, so this needs nothing of the three.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

Choice = TypeVar("Choice", bound=StrEnum)

NANO: Final = 1_000_000_000
PPM: Final = 1_000_000
MOST_USD: Final = 100_000_000
"""Ten times that in nano-USD is still a number of 64 bits."""
_DURATION: Final = re.compile(r"(\d{1,9})\s*([smhdw])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_ENV_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Unfit(Exception):  # noqa: N818
    """A table can't be used: which key, what is wrong, how to mend it. Never shows the value of a secret."""

    def __init__(self, key: str, what: str, how: str) -> None:
        super().__init__(f"{key}: {what}. {how}")
        self.key = key
        self.what = what
        self.how = how


class Given:
    """A table that is being read. Ask for every key there may be, then call :meth:`done`."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._table = table
        self._known: list[str] = []

    @property
    def known(self) -> tuple[str, ...]:
        """The keys that were asked for."""
        return tuple(self._known)

    def has(self, key: str) -> bool:
        return self._take(key) is not None

    def text(self, key: str, default: str | None = None, longest: int = 500) -> str | None:
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, str) or not value or len(value) > longest or not value.isprintable():
            raise Unfit(key, "is not a line of text", f"Write it in quotes, at most {longest} characters")
        return value

    def name(self, key: str, pattern: re.Pattern[str], how: str) -> str:
        """Text that must be there and fit the pattern."""
        value = self.text(key)
        if value is None:
            raise self.missing(key, how)
        if not pattern.fullmatch(value):
            raise Unfit(key, f"{value[:60]!r} can't be used", how)
        return value

    def variable(self, key: str) -> str | None:
        """The name of an environment variable."""
        value = self._take(key)
        if value is None:
            return None
        if not isinstance(value, str) or not _ENV_NAME.fullmatch(value):
            how = "Write the variable's name (OPS_WEBHOOK_SECRET), not the secret itself"
            raise Unfit(key, "is not the name of an environment variable", how)
        return value

    def names(self, key: str) -> tuple[str, ...]:
        """A list of different texts; one text will do."""
        value = self._take(key)
        if value is None:
            return ()
        values = (value,) if isinstance(value, str) else value
        fit = isinstance(values, list | tuple) and all(isinstance(one, str) and one for one in values)
        if not fit or len(set(values)) != len(values):
            raise Unfit(key, "is not a list of names", f'Write it like {key} = ["a", "b"], each once')
        return tuple(values)

    def texts(self, key: str) -> tuple[tuple[str, str], ...]:
        """A table of texts, in its order."""
        value = self._take(key)
        if value is None:
            return ()
        if not isinstance(value, Mapping) or not all(isinstance(one, str) for one in value.values()):
            raise Unfit(key, "is not a table of texts", f'Write it like {key} = {{ team = "search" }}')
        return tuple((str(name), str(one)) for name, one in value.items())

    def flag(self, key: str, default: bool) -> bool:
        value = self._take(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise Unfit(key, "is neither true nor false", "Write true or false without quotes")
        return value

    def choice(self, key: str, choices: type[Choice], default: Choice | None) -> Choice | None:
        value = self._take(key)
        if value is None:
            return default
        known = [choice.value for choice in choices]
        if not isinstance(value, str) or value not in known:
            raise Unfit(
                key, f"{value!r} is not a known choice", f"{meant(value, known)}Choose {', '.join(known)}"
            )
        return choices(value)

    def count(self, key: str, default: int, least: int, most: int) -> int:
        value = self._take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise Unfit(key, "is not usable", f"Write a whole number from {least} to {most}")
        return value

    def seconds(self, key: str, default: int, least: int, most: int) -> int:
        """Whole seconds, or text such as ``15m``."""
        value = self._take(key)
        if value is None:
            return default
        found = _DURATION.fullmatch(value) if isinstance(value, str) else None
        whole = int(found[1]) * _SECONDS[found[2]] if found else value
        if isinstance(whole, bool) or not isinstance(whole, int) or not least <= whole <= most:
            raise Unfit(
                key,
                f"{value!r} is not usable",
                f'Write seconds, or text such as "15m" or "2h", from {least} s to {most} s',
            )
        return whole

    def millionths(self, key: str, default: int | None, least: int, most: int) -> int | None:
        """A number such as 0.95, as millionths. The bounds are millionths too."""
        value = self._take(key)
        if value is None:
            return default
        return self._scaled(key, value, PPM, least, most)

    def thresholds(self, key: str, most: int) -> tuple[int, ...]:
        """A list of shares such as [0.5, 0.9, 1], ascending, as millionths."""
        value = self._take(key)
        if value is None:
            return ()
        if not isinstance(value, list | tuple) or not value or len(value) > 20:
            raise Unfit(key, "is not a list of shares", f"Write it like {key} = [0.5, 0.9, 1.0]")
        how = f"Write shares of the limit: 0.5 is 50 %, the most is {_plain(most, PPM)}"
        found = tuple(
            self._scaled(f"{key}[{place}]", one, PPM, 1, most, how) for place, one in enumerate(value)
        )
        if list(found) != sorted(set(found)):
            raise Unfit(key, "is not in ascending order", f"Write it like {key} = [0.5, 0.9, 1.0], each once")
        return found

    def micros(self, key: str, default: int | None, most_s: int) -> int | None:
        """Seconds with fractions, as microseconds."""
        value = self._take(key)
        if value is None:
            return default
        return self._scaled(key, value, 1_000_000, 1, most_s * 1_000_000)

    def usd(self, key: str, default: int | None) -> int | None:
        """Dollars, as nano-USD."""
        value = self._take(key)
        if value is None:
            return default
        return self._scaled(key, value, NANO, 1, MOST_USD * NANO)

    def zone(self, key: str) -> ZoneInfo:
        """A time zone by its IANA name; UTC if none is given."""
        value = self._take(key)
        try:
            return ZoneInfo(value if value is not None else "UTC")
        except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
            hint = meant(value, available_timezones())
            how = f'{hint}Write an IANA name, such as "Europe/Zurich" or "UTC"'
            raise Unfit(key, f"{str(value)[:60]!r} is not a time zone this machine knows", how) from None

    def missing(self, key: str, how: str) -> Unfit:
        """The error for a key that has to be there; another that looks like it may be meant."""
        others = [str(other) for other in self._table if other not in self._known]
        close = difflib.get_close_matches(key, others, n=1, cutoff=0.6)
        hint = f"Did you mean it by {close[0]}? " if close else ""
        return Unfit(key, "is missing", f"{hint}{how}")

    def done(self) -> None:
        """Raises :class:`Unfit` for a key that nobody asked for."""
        for key in self._table:
            if key not in self._known:
                how = f"{meant(key, self._known)}Keys: {', '.join(self._known)}"
                raise Unfit(str(key), "is not a known key here", how)

    def _take(self, key: str) -> Any:
        if key not in self._known:
            self._known.append(key)
        return self._table.get(key)

    def _scaled(
        self, key: str, value: object, scale: int, least: int, most: int, how: str | None = None
    ) -> int:
        span = f"from {_plain(least, scale)} to {_plain(most, scale)}"
        try:
            number = Decimal(str(value)) * scale if not isinstance(value, bool) else Decimal("NaN")
        except ArithmeticError:
            number = Decimal("NaN")
        if not number.is_finite() or not least <= number <= most:
            raise Unfit(key, f"{str(value)[:60]} is not usable", how or f"Write a number {span}")
        return int(number)


def meant(word: object, known: Iterable[str]) -> str:
    """``Did you mean x? `` or nothing."""
    close = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.6)
    return f"Did you mean {close[0]}? " if close else ""


def _plain(number: int, scale: int) -> str:
    return format((Decimal(number) / scale).normalize(), "f")
