"""Calls of a company that does not exist, the same ones every time: ninety days that end at a fixed moment, busy days and
quiet nights, few features with most of the traffic, tests in working hours, users who are there on one day of three, and
everything that goes wrong now and then."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import accumulate
from typing import Final

import msgspec

from pricing.cost import INVALID_USAGE, NOT_BILLABLE, UNPRICED, Cost, CostSource, CostStatus
from pricing.usage import Usage
from telemetry.outcome import Outcome
from telemetry.record import Answer, CallRecord, Route, Timing, UsageSource, What, Who

END: Final = datetime(2026, 11, 18, 14, 30, tzinfo=UTC)
DAYS: Final = 90
_PER_MONTH: Final = DAYS / 30
_SHAPE: Final = (
    30,
    25,
    20,
    20,
    20,
    25,
    40,
    70,
    120,
    170,
    190,
    190,
    170,
    180,
    190,
    190,
    180,
    150,
    120,
    100,
    90,
    70,
    50,
    40,
)
"""Traffic of the hours of a day."""
_MODELS: Final = (
    ("openai", "gpt-4o-mini-2024-07-18", 150, 600), ("openai", "gpt-4o-2024-08-06", 2_500, 10_000),
    ("openai", "gpt-5-2025-08-07", 1_250, 10_000), ("openai", "o4-mini-2025-04-16", 1_100, 4_400),
    ("anthropic", "claude-sonnet-4-5-20250929", 3_000, 15_000), ("anthropic", "claude-haiku-4-5-20251001", 1_000, 5_000),
    ("gemini", "gemini-2.5-pro", 1_250, 10_000), ("gemini", "gemini-2.5-flash", 300, 2_500),
    ("mistral", "mistral-large-2411", 2_000, 6_000), ("groq", "llama-3.3-70b-versatile", 590, 790),
)  # fmt: skip
"""Provider, model, nano-USD for an input and an output token."""
_ENDS: Final = (
    (Outcome.COMPLETED, 200, 9720), (Outcome.PROVIDER_ERROR, 429, 80), (Outcome.PROVIDER_ERROR, 500, 30),
    (Outcome.PROVIDER_ERROR, 400, 20), (Outcome.CANCELLED, None, 90), (Outcome.TIMEOUT, 504, 30),
    (Outcome.RESET, 502, 15), (Outcome.CONNECT_FAILED, 502, 5), (Outcome.REFUSED, 413, 10),
)  # fmt: skip
_RAW: Final = b'{"prompt_tokens":1184,"completion_tokens":259,"total_tokens":1443,"prompt_tokens_details":{"cached_tokens":0}}'
"""As wide as what providers send."""


class Company(msgspec.Struct, frozen=True):
    """How many of everything there are."""

    tenants: int
    teams: int
    features: int
    users: int

    @classmethod
    def of(cls, calls: int) -> Company:
        """The size that goes with so many calls: 10 teams, 20 features and 1,200 users at ten million a month."""
        scale = math.sqrt(calls / _PER_MONTH / 10_000_000)
        return cls(3, max(3, round(10 * scale)), max(6, round(20 * scale)), max(60, round(1200 * scale)))


class Feature(msgspec.Struct, frozen=True):
    """What calls of one feature in one environment have in common."""

    who: Who
    what: What
    answer: Answer
    route: Route
    rates: tuple[int, int]
    users: int
    first_user: int
    size: float
    """Tokens in, times this."""


class Traffic(msgspec.Struct, frozen=True):
    """Features, and their shares of the traffic, added up."""

    features: list[Feature]
    shares: list[float]

    def without_tests(self) -> Traffic:
        """That of nights and weekends."""
        found = Traffic([], [])
        for feature, before, share in zip(self.features, [0.0, *self.shares], self.shares, strict=False):
            if feature.who.environment == "production":
                found.features.append(feature)
                found.shares.append((found.shares or [0.0])[-1] + share - before)
        return found


def features_of(company: Company, chance: random.Random) -> Traffic:
    """Every combination of feature, model and environment."""
    features, shares = [], []
    for number in range(company.features):
        team = number % company.teams
        share = 1 / (number + 1) ** 1.1
        models = chance.sample(_MODELS, chance.choice([1, 1, 2]))
        policy = "cheapest-good" if number % 4 == 1 else None
        for environment, of_them in (("production", 0.93), ("staging", 0.05), ("development", 0.02)):
            for model, part in zip(models, (0.8, 0.2) if len(models) == 2 else (1.0,), strict=True):
                provider, name, new, made = model
                per_team = max(1, company.users // company.teams)
                who = Who(
                    f"tenant-{team % company.tenants}", f"team-{team}", None, f"project-{number // 2}",
                    f"feature-{number}", None, environment,
                )  # fmt: skip
                asked = name.rsplit("-", 1)[0]
                what = What(
                    provider, "openai_chat", "chat", "POST", "/v1/chat/completions", asked, number % 3 != 2, 1024, 2048
                )  # fmt: skip
                answer = Answer(200, name, None, ("stop",), None, 900)
                route = Route(
                    "api.example.com", 1, policy=policy, baseline_model="gpt-4o" if policy else None
                )
                size = chance.uniform(0.3, 3)
                features.append(
                    Feature(who, what, answer, route, (new, made), per_team, team * per_team, size)
                )
                shares.append(share * of_them * part)
    return Traffic(features, list(accumulate(shares)))


def moments(calls: int, chance: random.Random) -> Iterator[int]:
    """When calls begin, in order; milliseconds since 1970 (UTC)."""
    end = int(END.timestamp()) // 3600
    hours = range(end - DAYS * 24, end + 1)
    weights = [_SHAPE[hour % 24] * (0.35 if (hour // 24 + 3) % 7 > 4 else 1.0) for hour in hours]
    weights[-1] /= 2  # it ends at half past
    whole, given, sent = sum(weights), 0.0, 0
    for hour, weight in zip(hours, weights, strict=True):
        given += weight
        number = round(calls * given / whole) - sent
        sent += number
        span = 1_800_000 if hour == end else 3_600_000
        yield from (hour * 3_600_000 + offset for offset in sorted(chance.choices(range(span), k=number)))


def busiest_model(calls: int, seed: int = 1) -> str:
    """The one that the feature with most of so many calls uses."""
    model = features_of(Company.of(calls), random.Random(seed)).features[0].answer.model
    assert model is not None
    return model


def traffic(calls: int, seed: int = 1) -> Iterator[CallRecord]:
    """So many calls, in the order in which they began."""
    chance = random.Random(seed)
    always = features_of(Company.of(calls), chance)
    quiet = always.without_tests()
    ends, odds = [end[:2] for end in _ENDS], list(accumulate(end[2] for end in _ENDS))
    for number, ms in enumerate(moments(calls, chance)):
        now = always if _at_work(ms) else quiet
        (feature,) = chance.choices(now.features, cum_weights=now.shares)
        ((outcome, status),) = chance.choices(ends, cum_weights=odds)
        yield call(number, ms, feature, outcome, status, chance)


def _at_work(ms: int) -> bool:
    hour = ms // 3_600_000
    return 8 <= hour % 24 < 18 and (hour // 24 + 3) % 7 < 5


def call(
    number: int, ms: int, feature: Feature, outcome: Outcome, status: int | None, chance: random.Random
) -> CallRecord:
    """One call."""
    base = feature.who
    user = session = None
    if chance.random() < 0.85:
        name = feature.first_user + _user(ms // 86_400_000, feature.users, chance)
        user = f"user-{name}"
        session = f"{ms // 86_400_000:x}-{name:x}-{chance.randrange(4)}"
    who = Who(base.tenant, base.team, user, base.project, base.feature, session, base.environment)
    first = int(chance.lognormvariate(12.9, 0.5))
    route, baseline = feature.route, None
    if route.policy is not None:
        sure = min(999_999, int(chance.betavariate(6, 2) * 1_000_000))
        reason = "easy" if sure > 600_000 else "unsure"
        route = msgspec.structs.replace(route, reason=reason, confidence_ppm=sure)
    usage, cost, source, duration = None, NOT_BILLABLE, UsageSource.NONE, first
    if outcome in (Outcome.COMPLETED, Outcome.CANCELLED):
        usage, duration = _used(feature, first, chance)
        source = UsageSource.PROVIDER if outcome is Outcome.COMPLETED else UsageSource.ESTIMATED
        cost = _cost(feature, usage, outcome, chance)
        if feature.route.baseline_model and cost.total is not None:
            baseline = cost.total * 3
    text = f"{ms:012x}"
    low = chance.getrandbits(62)
    return CallRecord(
        f"{text[:8]}-{text[8:]}-7{number & 0xFFF:03x}-{0x8000 | low >> 48:04x}-{low & 0xFFFFFFFFFFFF:012x}",
        outcome,
        who,
        feature.what,
        route,
        Timing(ms * 1_000_000, duration, duration - 200, first, first + 1_000, 180, 300),
        msgspec.structs.replace(feature.answer, status=status) if status != 200 else feature.answer,
        usage,
        source,
        cost,
        usage_raw=_RAW if usage is not None else None,
        baseline_nano=baseline,
    )


def _user(day: int, users: int, chance: random.Random) -> int:
    """Who it was: of three users one is there on a day, and few make most of the calls."""
    three = min(int(chance.expovariate(12 / users)), max(0, users // 3 - 1))
    return three * 3 + (three + day) % 3


def _used(feature: Feature, first_us: int, chance: random.Random) -> tuple[Usage, int]:
    """What a call consumed, and how long it took (microseconds)."""
    taken = int(chance.lognormvariate(6.5, 0.9) * feature.size)
    made = int(chance.lognormvariate(5.2, 0.8)) + 1
    cached = taken // 2 if chance.random() < 0.3 else None
    reasoning = made // 3 if "o4" in (feature.what.model or "") else None
    rate = chance.uniform(30, 120)
    return Usage(taken, made, cached, reasoning=reasoning), first_us + 1_000 + int(made / rate * 1e6)


def _cost(feature: Feature, usage: Usage, outcome: Outcome, chance: random.Random) -> Cost:
    luck = chance.random()
    if luck < 0.004:
        return UNPRICED
    if luck < 0.0045:
        return INVALID_USAGE
    new, made = feature.rates
    cached = usage.cache_read or 0
    parts = (((usage.input or 0) - cached) * new, (usage.output or 0) * made, cached * new // 10)
    status = CostStatus.PRICED
    if outcome is Outcome.CANCELLED:
        status = CostStatus.ESTIMATED
    elif luck < 0.006:
        status = CostStatus.PARTIAL
    return Cost(status, CostSource.CATALOGUE, sum(parts), *parts, 0, 0, "bench", "bench")
