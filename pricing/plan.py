"""Which rates hold: date, hour, weekday, conditions and tier of one entry, worked out once and kept.

A call's conditions are few and known, so the number of tariffs kept is bounded by the price list itself.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from pricing.bill import Tariff
from pricing.plain import text_rates
from pricing.rates import Adjustment, Entry, Period, Rates

STANDARD_TIERS = frozenset(
    {
        "auto",
        "default",
        "standard",
        "standard_only",
        "on_demand",
        "on-demand",
        "on_demand_standard",
        "traffic_type_unspecified",
    }
)
"""Ways to say "no special service tier"."""

TIER_NAMES = {
    "flex": ("service_tier", "flex"),
    "on_demand_flex": ("service_tier", "flex"),
    "priority": ("service_tier", "priority"),
    "on_demand_priority": ("service_tier", "priority"),
    "fast": ("service_tier", "fast"),
    "batch": ("processing", "batch"),
}
"""What providers call their tiers -> the condition in the price list."""

AUDIO_LIKE_TEXT = frozenset({"google"})
"""Providers that list an audio rate only where it differs from text."""

Condition = tuple[str, str]
Conditions = tuple[Condition, ...]

UNKNOWN_TIER: Condition = ("service_tier", "other")


def conditions_of(
    service_tier: str | None, speed: str | None, geo: str | None, region: str | None, batch: bool
) -> Conditions:
    """The conditions a call was made under, from a closed set, so that they can key a cache."""
    found: list[Condition] = []
    if batch:
        found.append(("processing", "batch"))
    if service_tier:
        tier = service_tier.lower()
        if tier not in STANDARD_TIERS:
            condition = TIER_NAMES.get(tier, UNKNOWN_TIER)
            if condition not in found:
                found.append(condition)
    if speed and speed.lower() != "standard":
        found.append(("speed", "fast" if speed.lower() == "fast" else "other"))
    if geo and geo.lower() == "us":
        found.append(("geo", "us"))
    if region and region.lower() != "global":
        found.append(("region", "regional"))
    return tuple(found)


Prices = dict[str, tuple[int, dict[int, int]]]
"""Unit -> base rate and rates by tier threshold."""


def _prices(period: Period) -> Prices:
    prices: Prices = {
        unit: (rate, {}) for unit, rate in msgspec.structs.asdict(period.rates).items() if rate is not None
    }
    for tier in period.tiers:
        for unit, rate in msgspec.structs.asdict(tier.rates).items():
            if rate is not None:
                prices.setdefault(unit, (rate, {}))[1][tier.above] = rate
    return prices


def _adjusted(prices: Prices, adjustment: Adjustment) -> Prices:
    top, bottom = adjustment.numerator, adjustment.denominator
    return {
        unit: (base * top // bottom, {above: rate * top // bottom for above, rate in steps.items()})
        if unit in adjustment.units
        else (base, steps)
        for unit, (base, steps) in prices.items()
    }


def _day(second: int) -> str:
    return datetime.fromtimestamp(second, tz=UTC).date().isoformat()


class Plan:
    """The tariffs of one entry as sold by one provider."""

    __slots__ = (
        "_adjustments",
        "_entry",
        "_kept",
        "_label",
        "_matching",
        "_only",
        "_own",
        "_seller",
        "_source",
    )

    def __init__(
        self, entry: Entry, owner: str, seller: str, adjustments: tuple[Adjustment, ...], source: str
    ) -> None:
        self._entry = entry
        self._seller = seller
        self._own = owner == seller
        self._label = f"{owner}/{entry.id}" if self._own else f"{owner}/{entry.id} via {seller}"
        self._source = source
        self._adjustments = tuple(
            item
            for item in adjustments
            if (not item.starts or entry.id.startswith(item.starts))
            and not (item.excludes and entry.id.startswith(item.excludes))
        )
        self._matching: dict[Conditions, tuple[tuple[int, Period], ...]] = {}
        self._kept: dict[tuple[Conditions, int, tuple[int, ...]], tuple[Tariff, ...]] = {}
        self._only: tuple[Tariff, ...] | None = None
        if len(entry.periods) == 1 and entry.periods[0].always:
            self._only = self._tariffs((), 0, ())

    @property
    def entry(self) -> Entry:
        return self._entry

    @property
    def only(self) -> Tariff | None:
        """The tariff of every call without conditions, if there is just one."""
        return self._only[0] if self._only is not None and len(self._only) == 1 else None

    def tariff(self, at: int, conditions: Conditions, total_input: int) -> Tariff | None:
        """Rates at ``at`` (seconds since 1970) for a request of ``total_input`` tokens; ``None``: none hold."""
        if self._only is not None and not conditions:
            tariffs = self._only
        else:
            found = self._find(at, conditions)
            if found is None:
                return None
            tariffs = found
        if len(tariffs) > 1:
            for tariff in tariffs:
                if total_input > tariff.above:
                    return tariff
        return tariffs[-1]

    def _find(self, at: int, conditions: Conditions) -> tuple[Tariff, ...] | None:
        entry = self._entry
        period = 0 if self._only is not None else -1
        if period < 0:
            for index in range(len(entry.periods) - 1, -1, -1):
                if entry.periods[index].active(at):
                    period = index
                    break
        variants: tuple[int, ...] = ()
        if conditions:
            matching = self._matching.get(conditions)
            if matching is None:
                matching = self._matching[conditions] = self._match(conditions)
            if matching:
                variants = tuple([index for index, dated in matching if dated.active(at)])
        if period < 0 and not variants:
            return None
        key = (conditions, period, variants)
        tariffs = self._kept.get(key)
        if tariffs is None:
            tariffs = self._kept[key] = self._tariffs(conditions, period, variants)
        return tariffs

    def _match(self, conditions: Conditions) -> tuple[tuple[int, Period], ...]:
        """Variants meant by the conditions, whatever their date; a reseller has none."""
        asked = dict(conditions)
        return tuple(
            (index, variant.period)
            for index, variant in enumerate(self._entry.variants if self._own else ())
            if all(asked.get(name) == value for name, value in variant.when.items())
        )

    def _tariffs(self, conditions: Conditions, period: int, variants: tuple[int, ...]) -> tuple[Tariff, ...]:
        """Tariffs by tier, highest threshold first."""
        entry = self._entry
        prices = _prices(entry.periods[period]) if period >= 0 else {}
        changed: Prices = {}
        covered: set[Condition] = set()
        for index in variants:
            covered.update(entry.variants[index].when.items())
            for unit, price in _prices(entry.variants[index].period).items():
                changed.setdefault(unit, price)
        prices |= changed
        for variant in entry.variants if self._own else ():
            if variant.period.rates == Rates():  # known to change nothing
                covered.update(variant.when.items())
        for adjustment in self._adjustments:
            when = set(adjustment.when.items())
            if when <= set(conditions) and not when & covered:
                prices = _adjusted(prices, adjustment)
                covered |= when
        unknown = [
            condition
            for condition in conditions
            if condition not in covered and condition[0] not in ("geo", "region")
        ]
        since = max(
            [
                entry.periods[period].since if period >= 0 else 0,
                *(entry.variants[i].period.since for i in variants),
            ]
        )
        rule = self._rule(conditions, period, since, unknown)
        starts = sorted({above for _, steps in prices.values() for above in steps}, reverse=True)
        return tuple(self._tariff(prices, above, rule, since, bool(unknown)) for above in (*starts, -1))

    def _rule(self, conditions: Conditions, period: int, since: int, unknown: list[Condition]) -> str:
        parts = [self._label]
        if since:
            parts.append(f"from {_day(since)}")
        if period >= 0 and (window := self._entry.periods[period].window):
            start, end = window
            parts.append(
                f"{start // 3600:02d}:{start // 60 % 60:02d}-{end // 3600:02d}:{end // 60 % 60:02d} UTC"
            )
        parts += [
            f"{name}={value}" + (" (no rate known: standard)" if (name, value) in unknown else "")
            for name, value in conditions
            if name not in ("geo", "region") or self._adjustments
        ]
        if self._entry.approximate:
            parts.append("approximate")
        return ", ".join(parts)

    def _tariff(self, prices: Prices, above: int, rule: str, since: int, unknown: bool) -> Tariff:
        rates: dict[str, int] = {}
        for unit, (base, steps) in prices.items():
            passed = [start for start in steps if start <= above]
            rates[unit] = steps[max(passed)] if passed else base
        own = Rates(**rates)
        tokens = own.input is not None or own.output is not None
        assumed: dict[str, str] = {}
        for unit, like in (
            ("cache_read", "input"),
            ("cache_write", "input"),
            ("cache_write_1h", "cache_write"),
            ("cache_audio_read", "input_audio"),
            ("cache_image_read", "input_image"),
        ):
            if unit not in rates and like in rates:
                rates[unit] = rates[like]
                assumed[unit] = assumed.get(like, like)
        audio_known = self._seller in AUDIO_LIKE_TEXT or own.audio_hour is not None
        tariff = Tariff(
            rule if above < 0 else f"{rule}, input > {above}",
            since,
            above,
            self._source,
            **rates,
            tokens=tokens,
            special_input=any(
                rate is not None for rate in (own.input_audio, own.input_image, own.input_video)
            ),
            special_output=any(
                rate is not None
                for rate in (
                    own.output_audio,
                    own.output_image,
                    own.output_video,
                    own.reasoning,
                    own.citation,
                )
            ),
            audio_in_unknown=bool(own.input) and own.input_audio is None and not audio_known,
            audio_out_unknown=bool(own.output) and own.output_audio is None and not audio_known,
            long_write_unknown=own.cache_write_1h is None and own.cache_write is not None,
            estimated=unknown or self._entry.approximate is not None,
            min_audio_ms=self._entry.min_audio_ms,
            assumed=assumed,
            text=None,
        )
        return msgspec.structs.replace(tariff, text=text_rates(tariff))
