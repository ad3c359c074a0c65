"""The numbers of a run by name."""

from __future__ import annotations

import math

from synergy_tui.experiments.metrics import as_number


def test_a_number_is_infinite_where_it_was_not_reached() -> None:
    assert as_number("> 10000") == math.inf
    assert as_number("inf") == math.inf
    assert as_number(3) == 3.0
    assert as_number(None) is None
    assert math.isnan(as_number("nan") or 0.0)
