"""The price book: one call in, its cost out, and how it came about.

Sources in order: the user's override, the charge the provider reported itself, the catalogue; else the call
is unpriced. Nothing here does I/O after loading, and nothing raises on what a provider or an app sent.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from pricing import catalogue as catalogues
from pricing.bill import (
    Bill,
    Line,
    Tariff,
    add_up,
    amount_of,
    is_consistent,
    make_bill,
    round_amounts,
    share_out,
)
from pricing.cost import Cost, CostSource, CostStatus
from pricing.match import Hit, Matcher
from pricing.names import MAX_NAME, canonical_provider
from pricing.overrides import Overrides, OverridesFile, parse_overrides
from pricing.plain import plain_cost, text_cost
from pricing.plan import Conditions, Plan, conditions_of
from pricing.rates import Catalogue
from pricing.units import COMPONENTS
from pricing.usage import NOTHING, Usage, smallest_like

REMEMBERED_NAMES = 4096
"""Names whose entry is kept; the oldest goes first."""

REMEMBERED_CONDITIONS = 256
"""Ways of saying a tier, speed, geography and region."""

_NANO_PER_SECOND = 1_000_000_000
# Bound once: reading a member off its class costs as much as a function call.
_PRICED = CostStatus.PRICED
_ESTIMATED = CostStatus.ESTIMATED
_OVERRIDE = CostSource.OVERRIDE
_PROVIDER = CostSource.PROVIDER
_CATALOGUE = CostSource.CATALOGUE


class PriceQuery(msgspec.Struct, frozen=True, gc=False):
    """What has to be known of a call to price it."""

    provider: str
    """Id in the price book (``price_as``)."""
    model: str | None
    """Model that answered."""
    asked: str | None
    """Model that was asked for; used where the answer's is not known."""
    usage: Usage | None
    at_ns: int
    """When the call was made, UTC, nanoseconds since 1970."""
    service_tier: str | None = None
    """As the provider reported it; what the request asked for does not count."""
    speed: str | None = None
    geo: str | None = None
    region: str | None = None
    charge: int | None = None
    """Charge the provider reported, nano-USD."""
    estimated: bool = False
    """The usage is our count or a lower bound."""
    batch: bool = False
    plain: Usage | None = None
    """``usage``, where it is known to be plain (:func:`pricing.plain.is_plain`). Of another usage it says nothing."""


class Found(msgspec.Struct, frozen=True):
    """Where the rates of a name are."""

    override: Plan | None
    listed: Plan | None
    hit: Hit | None
    fixed: Tariff | None = None
    """The one tariff of calls without conditions, where neither date nor size changes it."""


class ExplainedLine(msgspec.Struct, frozen=True):
    """Units times rate."""

    unit: str
    component: str
    quantity: int
    """Tokens, pieces, or milliseconds of audio."""
    rate: int | None
    """Atto-USD per unit (``audio_hour``: per hour); ``None``: no rate is known, the line counts as nothing."""
    amount: int
    """Exact, in atto-USD times the explanation's ``scale``."""
    note: str | None = None


class Explanation(msgspec.Struct, frozen=True):
    """How a cost came about. The lines' amounts add up to the exact amounts, and those, rounded, to the cost."""

    cost: Cost
    usage: Usage | None
    lines: tuple[ExplainedLine, ...] = ()
    exact: dict[str, int] = {}
    """Exact amount by component, atto-USD times ``scale``."""
    scale: int = 1
    rule: str | None = None
    """Entry, date, tier and conditions of the rates."""
    rates_since: int | None = None
    """First second (UTC) of the rates where they are dated."""
    tier_above: int | None = None
    rates_source: str | None = None
    """Where the rates were read."""
    notes: tuple[str, ...] = ()


class PriceBook:
    """Dated prices of every known model, with the user's overrides."""

    __slots__ = ("_conditions", "_found", "_matcher", "_overrides", "_plans", "_source", "snapshot")

    def __init__(self, catalogue: Catalogue, overrides: Overrides | None = None) -> None:
        self.snapshot = catalogue.snapshot
        """Id of the catalogue the rates came from."""
        self._source = f"{catalogue.source}, {catalogue.date}"
        self._overrides = overrides or Overrides(OverridesFile())
        self._matcher = Matcher(catalogue.providers, self._overrides.serves)
        self._plans: dict[tuple[str, str, str], Plan] = {}
        self._conditions: dict[tuple[str | None, str | None, str | None, str | None, bool], Conditions] = {}
        self._found: dict[tuple[str, str | None, str | None], Found] = {}

    @classmethod
    def load(cls, overrides: str | None = None, snapshot_path: Path | None = None) -> PriceBook:
        """Reads a snapshot (the shipped one by default) and overrides (TOML text).

        Raises ``catalogue.CatalogueError`` or ``table.PriceTableError``; both messages say what to mend.
        """
        return cls(catalogues.load(snapshot_path), parse_overrides(overrides) if overrides else None)

    @property
    def matcher(self) -> Matcher:
        """The catalogue's names."""
        return self._matcher

    def find(self, provider: str, model: str | None, asked: str | None = None) -> Found:
        """Where a model's rates are. A name seen before costs one look-up."""
        key = (provider, model, asked)
        found = self._found.get(key)
        if found is None:
            found = self._look_up(provider, model, asked)
            if len(model or "") <= MAX_NAME and len(asked or "") <= MAX_NAME:
                if len(self._found) >= REMEMBERED_NAMES:
                    del self._found[next(iter(self._found))]
                self._found[key] = found
        return found

    def price(self, query: PriceQuery) -> Cost:
        """Cost of one call. Never raises on a query."""
        usage = query.usage
        if usage is not None and query.charge is None:
            cost = self._plain(query, usage)
            if cost is not None:
                return cost
        if usage is not None and not is_consistent(usage):
            return Cost(CostStatus.INVALID_USAGE, snapshot=self.snapshot)
        tariff, source = self._tariff(query, usage)
        if source is _PROVIDER and query.charge is not None:
            return self._charged(query.charge, usage, tariff)
        if usage is None or (usage.input is None and usage == NOTHING):
            return Cost(CostStatus.UNPRICED, snapshot=self.snapshot, rule="no usage reported")
        if tariff is None:
            return Cost(CostStatus.UNPRICED, snapshot=self.snapshot, rule=self._missing(query))
        bill = make_bill(usage, tariff)
        amounts = add_up(bill.lines)
        total, parts = round_amounts(amounts)
        if bill.partial or amounts.unknown:
            if not any(amounts.exact):
                rule = f"{tariff.rule}: no rate for what was used"
                return Cost(CostStatus.UNPRICED, snapshot=self.snapshot, rule=rule)
            status = CostStatus.PARTIAL
        elif query.estimated or bill.estimated or tariff.estimated:
            status = CostStatus.ESTIMATED
        else:
            status = CostStatus.PRICED
        new, made, read, written, other = parts
        return Cost(status, source, total, new, made, read, written, other, self.snapshot, tariff.rule)

    def _plain(self, query: PriceQuery, usage: Usage) -> Cost | None:
        """Nearly every call: text in, text out, all rates known. ``None``: it takes a bill."""
        found = self._found.get((query.provider, query.model, query.asked))
        tariff = None if found is None else found.fixed
        source = _CATALOGUE
        if tariff is None or self._has_conditions(query):
            tariff, source = self._tariff(query, usage)
            if tariff is None:
                return None
        amounts = (text_cost if query.plain is usage else plain_cost)(usage, tariff)
        if amounts is None:
            return None
        total, new, made, read, written, other = amounts
        status = _ESTIMATED if query.estimated or tariff.estimated else _PRICED
        return Cost(status, source, total, new, made, read, written, other, self.snapshot, tariff.rule)

    def explain(self, query: PriceQuery) -> Explanation:
        """The cost of a call with the lines it is made of."""
        cost = self.price(query)
        usage = query.usage
        if usage is None or cost.status is CostStatus.INVALID_USAGE:
            return Explanation(cost, usage, notes=_notes(cost, None, None))
        tariff, _ = self._tariff(query, usage)
        if tariff is None:
            return Explanation(cost, usage, notes=_notes(cost, None, None))
        bill = make_bill(usage, tariff)
        amounts = add_up(bill.lines)
        return Explanation(
            cost,
            usage,
            tuple(_explained(line, tariff, amounts.scale) for line in bill.lines),
            dict(zip(COMPONENTS, amounts.exact, strict=True)),
            amounts.scale,
            tariff.rule,
            tariff.since or None,
            tariff.above if tariff.above >= 0 else None,
            tariff.source,
            _notes(cost, bill, tariff),
        )

    def _tariff(self, query: PriceQuery, usage: Usage | None) -> tuple[Tariff | None, CostSource]:
        found = self.find(query.provider, query.model, query.asked)
        conditions: Conditions = ()
        if self._has_conditions(query):
            conditions = self._conditions_of(query)
        at = query.at_ns // _NANO_PER_SECOND
        if found.override is not None:
            tariff = _of_size(found.override, at, conditions, usage)
            if tariff is not None:
                return tariff, _OVERRIDE
        source = _CATALOGUE if query.charge is None or query.charge < 0 else _PROVIDER
        return _of_size(found.listed, at, conditions, usage) if found.listed is not None else None, source

    def _has_conditions(self, query: PriceQuery) -> bool:
        tier = query.service_tier
        return bool(query.batch or (tier and tier != "default") or query.speed or query.geo or query.region)

    def _conditions_of(self, query: PriceQuery) -> Conditions:
        said = (query.service_tier, query.speed, query.geo, query.region, query.batch)
        conditions = self._conditions.get(said)
        if conditions is None:
            if len(self._conditions) >= REMEMBERED_CONDITIONS:
                self._conditions.clear()
            conditions = self._conditions[said] = conditions_of(*said)
        return conditions

    def _charged(self, charge: int, usage: Usage | None, tariff: Tariff | None) -> Cost:
        """The provider's own figure, shared out over the components as the list prices would have it."""
        parts = [0, 0, 0, 0, charge]
        rule = "charge reported by the provider"
        if usage is not None and tariff is not None:
            amounts = add_up(make_bill(usage, tariff).lines)
            size = sum(amounts.exact)
            if size and not amounts.unknown:
                parts = share_out(charge, [charge * amount for amount in amounts.exact], size)
                rule = f"{rule}, shared out as {tariff.rule}"
        new, made, read, written, other = parts
        return Cost(
            CostStatus.PRICED,
            CostSource.PROVIDER,
            charge,
            new,
            made,
            read,
            written,
            other,
            self.snapshot,
            rule,
        )

    def _missing(self, query: PriceQuery) -> str:
        name = query.model or query.asked
        if not name:
            return f"{query.provider}: no model named"
        return f"no price for {query.provider}/{name[:80]}"

    def _look_up(self, provider: str, model: str | None, asked: str | None) -> Found:
        seller = canonical_provider(provider)
        names = [name for name in dict.fromkeys((model, asked)) if name]
        candidates = {name: self._matcher.candidates(seller, name) for name in names}
        targets = [target for name in names if (target := self._overrides.alias(seller, candidates[name]))]
        hit = next((hit for target in targets if (hit := self._find_target(seller, target))), None)
        if hit is None and not targets:
            hit = next((hit for name in names if (hit := self._matcher.find(seller, name))), None)
        spelled = [target.lower() for target in targets]
        spelled += [spelling for name in names for spelling in candidates[name]]
        if hit is not None:
            spelled.append(hit.entry.id.lower())
        override = self._overrides.find(seller, tuple(spelled))
        listed = self._plan(hit) if hit else None
        return Found(
            Plan(override, seller, seller, (), override.corrected or "your override") if override else None,
            listed,
            hit,
            listed.only if listed is not None and override is None else None,
        )

    def _find_target(self, seller: str, target: str) -> Hit | None:
        """What an alias stands for: a model of the seller, or ``provider/model`` of anyone."""
        hit = self._matcher.find(seller, target)
        if hit is None:
            owner, slash, name = target.partition("/")
            if slash:
                hit = self._matcher.find(canonical_provider(owner), name)
        return hit

    def _plan(self, hit: Hit) -> Plan:
        key = (hit.seller, hit.owner, hit.entry.id)
        plan = self._plans.get(key)
        if plan is None:
            prices = self._matcher.prices(hit.seller)
            source = (
                f"{self._source}; corrected: {hit.entry.corrected}" if hit.entry.corrected else self._source
            )
            adjustments = prices.adjustments if prices else ()
            plan = self._plans[key] = Plan(hit.entry, hit.owner, hit.seller, adjustments, source)
        return plan


def _of_size(plan: Plan, at: int, conditions: Conditions, usage: Usage | None) -> Tariff | None:
    """The tariff of a request, or of several that are alike in size; an estimate where they are not to this plan."""
    if usage is None:
        return plan.tariff(at, conditions, 0)
    largest = usage.largest_input
    if largest is None:
        return plan.tariff(at, conditions, usage.billed_input or usage.input or 0)
    tariff = plan.tariff(at, conditions, largest)
    least = plan.tariff(at, conditions, smallest_like(largest))
    if tariff is None or least is None or tariff.above == least.above:
        return tariff
    return msgspec.structs.replace(tariff, estimated=True)


def _explained(line: Line, tariff: Tariff, scale: int) -> ExplainedLine:
    unit, component, quantity, rate = line
    note = None
    if rate is None:
        note = "no rate is known"
    elif like := tariff.assumed.get(unit):
        note = f"no rate of its own: {like} rate"
    return ExplainedLine(unit, COMPONENTS[component], quantity, rate, amount_of(line, scale), note)


def _notes(cost: Cost, bill: Bill | None, tariff: Tariff | None) -> tuple[str, ...]:
    notes = []
    if cost.source is CostSource.PROVIDER:
        notes.append("The total is the charge the provider reported; the lines show the list prices.")
    if cost.status is CostStatus.PARTIAL:
        notes.append("Some of the usage has no known rate or was not reported: the total is a lower bound.")
    if cost.status is CostStatus.INVALID_USAGE:
        notes.append("The reported counts contradict each other or are impossible: no cost is made of them.")
    if bill is not None and bill.estimated:
        notes.append("How much of the cached input was audio or images was not reported.")
    if tariff is not None and tariff.estimated:
        notes.append("The rates are approximate or the standard ones for want of the ones that apply.")
    return tuple(notes)
