"""Property tests whose every case fills a database: a few cases in the suite, many where there is time for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings

MANY = 12
"""Times as many cases with `make soak`."""
Test = TypeVar("Test", bound=Callable[..., Any])


def fills_a_database(cases: int) -> Callable[[Test], Test]:
    """Marks such a test; ``cases`` are looked at in the suite."""
    soaking = settings.get_current_profile_name() == "explore"
    of = settings(
        max_examples=cases * MANY if soaking else cases,
        deadline=None,
        # Making a failing case smaller takes minutes where each try fills a database.
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )

    def marked(test: Test) -> Test:
        return pytest.mark.further(of(test))

    return marked
