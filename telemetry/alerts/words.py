"""Whole numbers as people read them in a message."""

from __future__ import annotations

from typing import Final

from telemetry.alerts.verdict import Unit

_CENT: Final = 10_000_000
"""nano-USD."""
_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"))


def usd(nano: int) -> str:
    """``$1,234.50``; amounts below a dollar with six decimals, without the zeros at their end."""
    sign, size = ("-" if nano < 0 else ""), abs(nano)
    if size >= 100 * _CENT:
        cents = (size + _CENT // 2) // _CENT
        return f"{sign}${cents // 100:,}.{cents % 100:02}"
    micro = (size + 500) // 1_000
    if micro == 0:
        return "$0" if size == 0 else f"{sign}$0.000000{size:03}".rstrip("0")
    return f"{sign}$" + f"{micro // 1_000_000}.{micro % 1_000_000:06}".rstrip("0").rstrip(".")


def percent(ppm: int) -> str:
    """``90 %``, ``7.5 %``: at most two decimals, cut off, so that 99.999 % does not read 100 %."""
    hundredths = ppm // 100
    return f"{hundredths // 100}.{hundredths % 100:02}".rstrip("0").rstrip(".") + " %"


def factor(ppm: int) -> str:
    """``3.2 times``."""
    tenths = ppm // 100_000
    return f"{tenths // 10}.{tenths % 10}".removesuffix(".0") + " times"


def seconds(whole: int) -> str:
    """``45 s``, ``10 min``, ``1 h``, ``90 s``: the largest unit that divides it."""
    for size, unit in _UNITS:
        if whole >= size and whole % size == 0:
            return f"{whole // size} {unit}"
    return f"{whole} s"


def micros(us: int) -> str:
    """``850 ms``, ``1.24 s``."""
    if us < 1_000_000:
        return f"{us // 1000} ms"
    return f"{us // 1_000_000}.{us % 1_000_000 // 10_000:02} s"


def amount(value: int, unit: Unit) -> str:
    """A value with its unit."""
    match unit:
        case Unit.NANO_USD:
            return usd(value)
        case Unit.PPM:
            return percent(value)
        case Unit.MICROSECONDS:
            return micros(value)
        case Unit.SECONDS:
            return seconds(value)
        case Unit.CALLS:
            return f"{value:,} call{'' if value == 1 else 's'}"
        case Unit.TOKENS:
            return f"{value:,} tokens"
