"""Budgets: what may be spent by whom in which window, what was, and who holds a part of the rest.

``model`` says what a budget is, ``windows`` and ``scopes`` which account a call belongs to, ``amounts`` what it takes
from it. ``companion`` counts in the transaction that writes the rows, ``leases`` deals out what is left to workers.
"""
