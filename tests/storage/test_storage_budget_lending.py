"""A worker's purses and the database's leases say the same, whatever happens to budgets, calls and connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rig.budgets import call_of, record_of

from gateway.admission import Admission
from gateway.errors import Refusal
from gateway.leasing import IDLE_S, LOOK_S, RENEW_S, Leasing
from gateway.keyring import KnownKey, limits_of
from pricing.book import PriceBook
from storage.address import parse
from storage.budgets import admin, leases
from storage.budgets.companion import BudgetCompanion
from storage.budgets.leases import Standing
from storage.budgets.model import EVERY, Budget, Mode, Unit, Window, account_of
from storage.budgets.scopes import Scopes
from storage.budgets.windows import span_of
from storage.control import ControlDatabase, ControlUnavailable, control_of
from storage.keys.model import Key
from storage.schema import Migrate
from storage.targets import open_target
from telemetry.record import CallRecord

NOW = int(datetime.fromisoformat("2026-11-15T12:00:00Z").timestamp())
