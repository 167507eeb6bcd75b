"""Numbers, money and changes as people read them in a report or in advice: short, rounded."""

from __future__ import annotations

from typing import Final

from telemetry.alerts.words import usd

PPM: Final = 1_000_000
NONE: Final = "–"
LONGEST_NAME: Final = 60
"""Characters of a name that are shown; apps choose them."""
_UNITS: Final = ((10**9, "G"), (10**6, "M"), (10**3, "k"))


def count(number: int) -> str:
    """``12,345``; from 100,000 on with three digits: ``123 k``, ``4.56 M``."""
    if abs(number) < 100_000:
        return f"{number:,}"
    for size, unit in _UNITS:
        if abs(number) >= size:
            decimals = 2 if abs(number) < 10 * size else 1 if abs(number) < 100 * size else 0
            return f"{number / size:,.{decimals}f} {unit}"
    return str(number)


def money(nano: int) -> str:
    """``$1,234.50``, ``$0.0283``, ``$0.000123``: cents from ten cents on, four decimals from one on."""
    size = abs(nano)
    if size >= 1_000_000_000 or size < 10_000_000:
        return usd(nano)
    decimals, unit = (2, 10_000_000) if size >= 100_000_000 else (4, 100_000)
    units = (size + unit // 2) // unit
    whole, rest = divmod(units, 10**decimals)
    return f"{'-' if nano < 0 else ''}${whole}.{rest:0{decimals}}"


def share(part: int, whole: int) -> str:
    """``12 %``, ``3.4 %``, ``< 0.1 %``; a dash of nothing."""
    if not whole:
        return NONE
    if part and abs(part) * 1000 < whole:
        return "< 0.1 %"
    return f"{_tenths(_nearest(1000 * part, whole))} %"


def change(now: int, before: int) -> str:
    """``+12 %``, ``−3.4 %``, ``× 12``, ``new``; a dash where nothing was and nothing is."""
    if not before:
        return "new" if now else NONE
    if now >= 10 * before:
        return f"× {now // before:,}"
    tenths = _nearest(1000 * abs(now - before), before)
    if not tenths:
        return "± 0 %"
    size = _tenths(tenths) if tenths < 100 else str(_nearest(tenths, 10))
    return f"{'+' if now > before else '−'}{size} %"


def _nearest(part: int, whole: int) -> int:
    return (2 * part + whole) // (2 * whole)


def _tenths(tenths: int) -> str:
    return f"{tenths / 10:.1f}".removesuffix(".0")


def points(now_ppm: int | None, before_ppm: int | None) -> str:
    """The change of a share: ``+1.2 points``; empty if one is not known."""
    if now_ppm is None or before_ppm is None:
        return ""
    tenths = round((now_ppm - before_ppm) / 1000)
    if not tenths:
        return "± 0 points"
    return f"{'+' if tenths > 0 else '−'}{abs(tenths) // 10}.{abs(tenths) % 10} points"


def one_line(text: str) -> str:
    """Without control characters and line breaks."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def name_of(name: str | None) -> str:
    """A name on one line, cut."""
    line = one_line(name or "") or "(none)"
    return line if len(line) <= LONGEST_NAME else line[: LONGEST_NAME - 1] + "…"
