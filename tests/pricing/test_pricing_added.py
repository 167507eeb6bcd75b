"""The cost of a call with several parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pricing.cost import UNPRICED, Cost, CostSource, CostStatus, added

PARTS = st.tuples(*[st.integers(0, 10**12)] * 5)
KNOWN = st.builds(
    lambda status, parts: Cost(status, CostSource.CATALOGUE, sum(parts), *parts),
    st.sampled_from([CostStatus.PRICED, CostStatus.ESTIMATED, CostStatus.PARTIAL]),
    PARTS,
)


@given(st.lists(KNOWN, min_size=1, max_size=5))
def test_components_add_up_to_the_total(costs: list[Cost]) -> None:
    total = added(costs)
    assert total.total == sum(cost.total or 0 for cost in costs)
    parts = (total.input, total.output, total.cache_read, total.cache_write, total.other)
    assert sum(part or 0 for part in parts) == total.total
    assert total.status in {cost.status for cost in costs}


@given(KNOWN)
def test_an_unknown_part_makes_a_lower_bound_and_never_a_zero(cost: Cost) -> None:
    assert added((cost, UNPRICED)).status is CostStatus.PARTIAL
    assert added((UNPRICED, cost)).total == cost.total
    assert added((UNPRICED, UNPRICED)).total is None


@given(KNOWN, st.integers(0, 10**12))
def test_what_the_provider_charges_holds_the_other_parts_already(part: Cost, charge: int) -> None:
    charged = Cost(CostStatus.PRICED, CostSource.PROVIDER, charge, 0, 0, 0, 0, charge)
    assert added((charged, part, UNPRICED)) == charged
