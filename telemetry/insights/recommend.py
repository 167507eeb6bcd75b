"""What could cost less, and why. Pure: the same facts give the same advice, in the same order.

Every recommendation has its evidence (the numbers it follows from), what it would save in 30 days, and how sure that
is. The rules, and what they take for granted, are in ``docs/insights.md``.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from telemetry.insights.experiment import LEAST_VERDICTS, TOLERATED_PPM, not_worse_ppm, quality_difference
from telemetry.insights.numbers import money, name_of, share
from telemetry.insights.wilson import interval

PPM: Final = 1_000_000
MONTH_DAYS: Final = 30
LEAST_SAVING_NANO: Final = 1_000_000_000
"""A dollar in 30 days: below, nobody should be bothered."""
LEAST_CALLS: Final = 50
LEAST_CHEAPER_PPM: Final = 100_000
CACHED_FROM_TOKENS: Final = 1_024
MOST_CACHED_PPM: Final = 200_000
"""Of the input, above which caching works already."""
REPEATED_PPM: Final = 500_000
"""Of the calls, so many must repeat a prompt or go on with a session."""
SAME_INPUT_PPM: Final = 500_000
"""Taken for granted: the part of the input that repeats."""
CACHE_DISCOUNT_PPM: Final = 500_000
"""Taken for granted: the least that providers take off for input from the cache."""
LONG_CONTEXT_TOKENS: Final = 8_000
CONTEXT_RATIO: Final = 30
"""Input tokens for each output token, above which most of the input cannot matter."""
CONTEXT_CUT_PPM: Final = 250_000
"""Taken for granted: the part of such an input that can go."""
ROOMY: Final = 4
"""Times the longest answer, above which ``max_tokens`` holds nothing back."""
ROOMY_FROM_TOKENS: Final = 1_024
FAILED_PPM: Final = 50_000
IDLE_DAYS: Final = 14


class Kind(enum.StrEnum):
    """What there is to do."""

    CHEAPER_MODEL = "cheaper_model"
    CACHE_PROMPTS = "cache_prompts"
    SHORTEN_CONTEXT = "shorten_context"
    LOWER_MAX_TOKENS = "lower_max_tokens"
    STOP_FAILING = "stop_failing"
    IDLE_FEATURE = "idle_feature"
    IDLE_KEY = "idle_key"


SURENESS: Final = {
    Kind.CACHE_PROMPTS: 500_000,
    Kind.SHORTEN_CONTEXT: 300_000,
    Kind.LOWER_MAX_TOKENS: 900_000,
    Kind.STOP_FAILING: 700_000,
    Kind.IDLE_FEATURE: 500_000,
    Kind.IDLE_KEY: 900_000,
}
"""By how much each rests on what is taken for granted; a cheaper model's follows from its verdicts."""


class ModelUse(msgspec.Struct, frozen=True, kw_only=True):
    """What one feature did with one model in the period."""

    feature: str | None
    model: str
    calls: int
    failed: int = 0
    """Neither completed nor cancelled by the app nor refused by the gateway."""
    wasted_nano: int = 0
    """What the failed ones cost."""
    input_tokens: int = 0
    """Including those read from the cache."""
    output_tokens: int = 0
    cache_read_tokens: int = 0
    priced_calls: int = 0
    cost_nano: int = 0
    cost_input_nano: int = 0
    """Without what caching costs."""
    cost_output_nano: int = 0
    judged: int = 0
    good: int = 0
    sampled: int = 0
    """Calls that were looked at one by one, for the fields below."""
    repeated: int = 0
    """Of the sampled: calls after the first of their prompt or session."""
    max_tokens: int | None = None
    """The lowest limit that sampled calls set; ``None`` if one set none."""
    longest_tokens: int = 0
    """Output of the longest sampled answer."""

    @property
    def shown(self) -> str:
        """The model, as it can stand in a sentence."""
        return name_of(self.model)


class Unused(msgspec.Struct, frozen=True):
    """A feature or a key that was used, and is not any more."""

    name: str
    days: int
    """Since its last call."""
    calls: int
    """Before that, as far as they are known."""
    cost_nano: int = 0


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What advice rests on. ``days``: length of the period of ``models``."""

    days: int
    models: tuple[ModelUse, ...] = ()
    features: tuple[Unused, ...] = ()
    keys: tuple[Unused, ...] = ()


class Recommendation(msgspec.Struct, frozen=True):
    """One piece of advice. ``saving_nano``: in 30 days; 0 where it saves risk and not money."""

    kind: Kind
    subject: str
    evidence: tuple[tuple[str, int], ...]
    """Whole numbers by name; the name ends in their unit (``_nano``, ``_ppm``, ``_tokens``, ``_days``), calls have none."""
    saving_nano: int
    confidence_ppm: int
    text: str


def recommendations(facts: Facts) -> list[Recommendation]:
    """All advice there is, what is worth most (saving times confidence) first. Raises ``ValueError`` for no days."""
    if facts.days < 1:
        raise ValueError("recommendations need a period of at least one day")
    found = [*_cheaper_models(facts)]
    for use in facts.models:
        for advise in (_cache_prompts, _shorten_context, _lower_max_tokens, _stop_failing):
            found += advise(use, facts.days)
    found += [*_unused(Kind.IDLE_FEATURE, facts.features), *_unused(Kind.IDLE_KEY, facts.keys)]
    return sorted(
        found, key=lambda one: (-one.saving_nano * one.confidence_ppm, one.kind, one.subject, one.text)
    )


def _cheaper_models(facts: Facts) -> Iterator[Recommendation]:
    """Within a feature, where two models do the same work: the one with the greatest saving for each dearer one."""
    features: dict[str | None, list[ModelUse]] = defaultdict(list)
    for use in facts.models:
        if min(use.priced_calls, use.calls) >= LEAST_CALLS and use.judged >= LEAST_VERDICTS:
            features[use.feature].append(use)
    for uses in features.values():
        for dear in uses:
            offers = [
                one for other in uses if other is not dear and (one := _cheaper(dear, other, facts.days))
            ]
            if offers:
                yield max(offers, key=lambda one: (one.saving_nano, one.text))


def _cheaper(dear: ModelUse, cheap: ModelUse, days: int) -> Recommendation | None:
    cost = dear.cost_nano
    instead = _at_rates_of(cheap, dear)
    saving = _a_month(cost - instead, days)
    quality = quality_difference(dear.good, dear.judged, cheap.good, cheap.judged)
    if quality is None or quality.low < -TOLERATED_PPM or saving < LEAST_SAVING_NANO:
        return None
    fails_more = interval(cheap.failed, cheap.calls).low > interval(dear.failed, dear.calls).high
    if fails_more or (cost - instead) * PPM < LEAST_CHEAPER_PPM * cost:
        return None
    shares = [one.good * PPM // one.judged for one in (dear, cheap)]
    return Recommendation(
        Kind.CHEAPER_MODEL,
        _subject(dear),
        (
            ("calls", dear.priced_calls),
            ("cost_nano", cost),
            ("cost_instead_nano", instead),
            ("good_ppm", shares[0]),
            ("good_instead_ppm", shares[1]),
            ("judged", dear.judged),
            ("judged_instead", cheap.judged),
            ("quality_low_ppm", quality.low),
            ("quality_high_ppm", quality.high),
        ),
        saving,
        not_worse_ppm(dear.good, dear.judged, cheap.good, cheap.judged),
        f"{_place(dear)}{cheap.shown} answers as well as {dear.shown} ({share(shares[1], PPM)} good of {cheap.judged:,} "
        f"judged, against {share(shares[0], PPM)} of {dear.judged:,}), and the same tokens would have cost "
        f"{money(instead)} instead of {money(cost)}.",
    )


def _at_rates_of(cheap: ModelUse, dear: ModelUse) -> int:
    """What the tokens of ``dear`` cost at what ``cheap`` pays for one, input and output apart.

    Calls of ``dear`` that are not priced are in its tokens and not in its cost: only their share counts.
    """
    kinds = (
        (cheap.cost_nano - cheap.cost_output_nano, cheap.input_tokens, dear.input_tokens),
        (cheap.cost_output_nano, cheap.output_tokens, dear.output_tokens),
    )
    instead = 0
    for paid, for_tokens, tokens in kinds:
        if for_tokens:
            instead += paid * cheap.calls * tokens // (for_tokens * cheap.priced_calls)
        else:
            instead += paid * dear.calls // cheap.priced_calls
    return instead * dear.priced_calls // dear.calls


def _cache_prompts(use: ModelUse, days: int) -> Iterator[Recommendation]:
    """Long inputs that repeat, and are paid in full each time."""
    if use.sampled < LEAST_CALLS or use.input_tokens < CACHED_FROM_TOKENS * use.calls:
        return
    cached = use.cache_read_tokens * PPM // use.input_tokens
    repeated = use.repeated * PPM // use.sampled
    if cached > MOST_CACHED_PPM or repeated < REPEATED_PPM:
        return
    saved = use.cost_input_nano * repeated // PPM * SAME_INPUT_PPM // PPM * CACHE_DISCOUNT_PPM // PPM
    saving = _a_month(saved, days)
    if saving < LEAST_SAVING_NANO:
        return
    mean = use.input_tokens // use.calls
    yield Recommendation(
        Kind.CACHE_PROMPTS,
        _subject(use),
        (
            ("calls", use.calls),
            ("mean_input_tokens", mean),
            ("cached_ppm", cached),
            ("repeated_ppm", repeated),
            ("cost_input_nano", use.cost_input_nano),
        ),
        saving,
        SURENESS[Kind.CACHE_PROMPTS],
        f"{_place(use)}{use.shown} gets {mean:,} input tokens a call, {share(repeated, PPM)} of the calls repeat a prompt "
        f"or go on with a session, and {share(cached, PPM)} of the input comes from the provider's cache: put what stays "
        f"the same first, and mark it for caching where the provider wants that.",
    )


def _shorten_context(use: ModelUse, days: int) -> Iterator[Recommendation]:
    """Very long inputs for very short answers."""
    if use.calls < LEAST_CALLS or use.input_tokens < LONG_CONTEXT_TOKENS * use.calls:
        return
    if use.input_tokens < CONTEXT_RATIO * max(1, use.output_tokens):
        return
    saving = _a_month(use.cost_input_nano * CONTEXT_CUT_PPM // PPM, days)
    if saving < LEAST_SAVING_NANO:
        return
    means = use.input_tokens // use.calls, use.output_tokens // use.calls
    yield Recommendation(
        Kind.SHORTEN_CONTEXT,
        _subject(use),
        (
            ("calls", use.calls),
            ("mean_input_tokens", means[0]),
            ("mean_output_tokens", means[1]),
            ("cost_input_nano", use.cost_input_nano),
        ),
        saving,
        SURENESS[Kind.SHORTEN_CONTEXT],
        f"{_place(use)}{use.shown} reads {means[0]:,} tokens to write {means[1]:,}: with a quarter less context "
        f"(fewer retrieved passages, a summary instead of the whole history) it would cost that much less.",
    )


def _lower_max_tokens(use: ModelUse, days: int) -> Iterator[Recommendation]:
    """A limit far above every answer: no money, but what a runaway answer may cost, and what rate limits count."""
    limit = use.max_tokens
    if limit is None or use.sampled < 2 * LEAST_CALLS or use.longest_tokens < 1:
        return
    if limit < ROOMY_FROM_TOKENS or limit < ROOMY * use.longest_tokens:
        return
    yield Recommendation(
        Kind.LOWER_MAX_TOKENS,
        _subject(use),
        (("sampled", use.sampled), ("max_tokens", limit), ("longest_tokens", use.longest_tokens)),
        0,
        SURENESS[Kind.LOWER_MAX_TOKENS],
        f"{_place(use)}{use.shown} may write {limit:,} tokens, and the longest of {use.sampled:,} answers had "
        f"{use.longest_tokens:,}: a limit of {2 * use.longest_tokens:,} bounds what a runaway answer costs, and leaves "
        f"more of the provider's rate limit.",
    )


def _stop_failing(use: ModelUse, days: int) -> Iterator[Recommendation]:
    """Calls that fail again and again."""
    if use.calls < LEAST_CALLS or use.failed * PPM < FAILED_PPM * use.calls:
        return
    if interval(use.failed, use.calls).low * PPM < FAILED_PPM / 2:
        return
    failed = use.failed * PPM // use.calls
    paid = f", and {money(use.wasted_nano)} were paid for them" if use.wasted_nano else ""
    yield Recommendation(
        Kind.STOP_FAILING,
        _subject(use),
        (
            ("calls", use.calls),
            ("failed", use.failed),
            ("failed_ppm", failed),
            ("wasted_nano", use.wasted_nano),
        ),
        _a_month(use.wasted_nano, days),
        SURENESS[Kind.STOP_FAILING],
        f"{_place(use)}{use.failed:,} of {use.calls:,} calls to {use.shown} failed ({share(failed, PPM)}){paid}: look at "
        f"their errors, and let retries wait longer each time and end.",
    )


def _unused(kind: Kind, things: Sequence[Unused]) -> Iterator[Recommendation]:
    for one in things:
        if one.days < IDLE_DAYS:
            continue
        cost = f", for {money(one.cost_nano)}" if one.cost_nano else ""
        since = (
            f"{one.days:,} days ({one.calls:,} calls before{cost})"
            if one.calls
            else f"{one.days:,} days or more"
        )
        todo = (
            "revoke the key, it can only be misused now."
            if kind is Kind.IDLE_KEY
            else "if it is gone for good, take its prompts, budgets and alerts away too."
        )
        what = "Key" if kind is Kind.IDLE_KEY else "Feature"
        yield Recommendation(
            kind,
            one.name,
            (("idle_days", one.days), ("calls", one.calls), ("cost_nano", one.cost_nano)),
            0,
            SURENESS[kind],
            f"{what} {name_of(one.name)} has made no call for {since}: {todo}",
        )


def _a_month(nano: int, days: int) -> int:
    return nano * MONTH_DAYS // days


def _subject(use: ModelUse) -> str:
    return f"{use.feature}/{use.model}" if use.feature else use.model


def _place(use: ModelUse) -> str:
    """The beginning of a sentence."""
    return f"In {name_of(use.feature)}, " if use.feature else ""
