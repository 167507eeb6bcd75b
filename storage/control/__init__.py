"""The small tables that say who may do what: keys, tokens, budgets."""

from __future__ import annotations

from storage.address import Address, Engine
from storage.control.contract import ControlDatabase, ControlUnavailable, NoTables
from storage.control.sqlite import SqliteControl

__all__ = ["ControlDatabase", "ControlUnavailable", "NoTables", "control_of"]


def control_of(address: Address, timeout_s: float = 10.0, *, durable: bool = True) -> ControlDatabase:
    """The database at an address; connects when first asked something.

    ``durable``: what was committed survives the loss of power. What is lent to workers need not: the rows tell what was
    spent.
    """
    if address.engine is Engine.SQLITE:
        return SqliteControl(address, timeout_s, durable=durable)
    from storage.control.postgres import PostgresControl

    return PostgresControl(address, timeout_s, durable=durable)
