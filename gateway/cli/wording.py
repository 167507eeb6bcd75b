"""Numbers, money and times as people read them. Money stays in integers."""

from __future__ import annotations

from datetime import datetime, tzinfo

from gateway.api.models import CallOut, CostOut
from pricing.cost import CostStatus, format_usd

_MICRO = 1000
"""Nano-USD in a millionth of a dollar."""
_CENT = 10_000_000
_DOLLAR = 1_000_000_000
NOTHING = "–"

_MARKS = {CostStatus.ESTIMATED: "~", CostStatus.PARTIAL: "≥"}
_WORDS = {
    CostStatus.UNPRICED: "unpriced",
    CostStatus.INVALID_USAGE: "bad usage",
    CostStatus.NOT_BILLABLE: NOTHING,
}


def usd(nano: int) -> str:
    """``$0.004125``: six decimals, half to even; amounts that would vanish keep all their digits."""
    if nano == 0:
        return "$0"
    sign, size = ("-" if nano < 0 else ""), abs(nano)
    micro, rest = divmod(size, _MICRO)
    if micro == 0:
        return f"{sign}${format_usd(size)}"
    micro += rest * 2 > _MICRO or (rest * 2 == _MICRO and micro % 2)
    dollars, decimals = divmod(micro, 1_000_000)
    return f"{sign}${dollars:,}.{decimals:06d}"


def money(nano: int) -> str:
    """``$1,250.00``, ``$0.004125``: cents from a dollar on, below it up to six decimals."""
    if not 0 < abs(nano) < _DOLLAR:
        cents, rest = divmod(abs(nano), _CENT)
        cents += rest * 2 > _CENT or (rest * 2 == _CENT and cents % 2)
        return f"{'-' if nano < 0 else ''}${cents // 100:,}.{cents % 100:02d}"
    text = usd(nano)
    whole, _, decimals = text.partition(".")
    return f"{whole}.{decimals.rstrip('0').ljust(2, '0')}"


def cost_text(cost: CostOut) -> str:
    """The total with its mark: ``~`` estimated, ``≥`` a lower bound; or why there is none."""
    status = CostStatus(cost.status)
    if cost.total.nano_usd is None or status in _WORDS:
        return _WORDS.get(status, "unpriced")
    return _MARKS.get(status, "") + usd(cost.total.nano_usd)


def count(number: int | None) -> str:
    """``12,345``; a dash where nothing was reported."""
    return NOTHING if number is None else f"{number:,}"


def call_count(number: int) -> str:
    """``1 call``, ``12,345 calls``."""
    return f"{number:,} call{'' if number == 1 else 's'}"


def duration(us: int | None) -> str:
    """``0.9 ms``, ``850 ms``, ``1.24 s``, ``2m 05s``."""
    if us is None:
        return NOTHING
    if us < 9_950:
        return f"{us / 1000:.1f} ms"
    if us < 999_500:
        return f"{us / 1000:.0f} ms"
    if us < 59_995_000:
        return f"{us / 1_000_000:.2f} s"
    minutes, seconds = divmod(round(us / 1_000_000), 60)
    return f"{minutes}m {seconds:02}s"


def clock(started_at: str, now: datetime, zone: tzinfo | None = None) -> str:
    """Local time of day, with the date unless it is today's."""
    moment = datetime.fromisoformat(started_at).astimezone(zone)
    return (
        f"{moment:%H:%M:%S}" if moment.date() == now.astimezone(zone).date() else f"{moment:%m-%d %H:%M:%S}"
    )


def result(call: CallOut) -> str:
    """``200``, ``429``, or how else it ended: ``timeout``, ``refused 401`` (by the gateway)."""
    status, outcome = call.answer.status, call.outcome.replace("_", " ")
    if status is None:
        return outcome
    if call.outcome in ("completed", "provider_error"):
        return str(status)
    return f"{outcome} {status}" if call.outcome == "refused" else outcome


def trouble(call: CallOut) -> str:
    """``HTTP 401 · weighbridge_unauthorized``: what is known of a call that did not end well; else empty."""
    if call.outcome == "completed":
        return ""
    answer = call.answer
    parts = [
        f"HTTP {answer.status}" if answer.status is not None else None,
        answer.error_code or answer.error_type,
    ]
    return " · ".join(part for part in parts if part)


def model(call: CallOut) -> str:
    """The model that answered, else the one that was asked for; the path where neither is known."""
    return call.answer.model or call.what.model or call.what.path


def totals(calls: list[CallOut]) -> str:
    """``12 calls, $0.0512, of which ~$0.01 estimated, 2 unpriced``."""
    known = [call.cost for call in calls if call.cost.total.nano_usd is not None]
    total = sum(cost.total.nano_usd or 0 for cost in known)
    guessed = [cost for cost in known if cost.status in (CostStatus.ESTIMATED, CostStatus.PARTIAL)]
    unpriced = sum(call.cost.total.nano_usd is None for call in calls)
    text = f"{call_count(len(calls))}, {usd(total)}"
    if guessed:
        text += f", of which ~{usd(sum(cost.total.nano_usd or 0 for cost in guessed))} estimated"
    return f"{text}, {unpriced} unpriced" if unpriced else text
