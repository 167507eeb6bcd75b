"""Readings on the scale: what an answer costs, without a provider and without a socket."""

from __future__ import annotations

import msgspec
from rig.lending import call_of

from gateway.call import Call, Progress
from gateway.price_headers import PriceSaid
from gateway.providers.table import ProviderTable
from gateway.recording import Scale
from gateway.settings import load
from gateway.targets import ProviderTargets
from gateway.wire.contract import Reading
from gateway.wire.registry import WIRES
from pricing.book import PriceBook
from telemetry.outcome import Outcome
from telemetry.record import CallRecord

SOMEWHERE = {"base_url": "http://127.0.0.1:9"}
PROVIDERS = ProviderTable.build(
    load(None, {"providers": dict.fromkeys(("azure", "bedrock", "selfhosted"), SOMEWHERE)})
)
TARGETS = ProviderTargets(PROVIDERS, WIRES)
CHAT = b"/openai/v1/chat/completions"


def call_to(path: bytes = CHAT, said: PriceSaid | None = None, method: str = "POST") -> Call:
    """A call for gpt-4o."""
    return msgspec.structs.replace(
        call_of(), target=TARGETS.resolve(method, path), method=method, price_said=said
    )


def weigh(book: PriceBook, call: Call, reading: Reading) -> CallRecord:
    """The record of a call that was answered so."""

    def defect(error: BaseException) -> None:
        raise error

    progress = Progress(1.0)
    progress.status = 200
    progress.finished_at = 2.0
    return Scale(book, defect).weigh(call, progress, Outcome.COMPLETED, reading)
