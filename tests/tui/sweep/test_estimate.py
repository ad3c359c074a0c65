"""What a sweep is estimated to cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synergy_tui.scenario import TrainedRun, parse_scenario
from synergy_tui.sweep.estimate import START_SECONDS, cost, estimate, measure_rate
from synergy_tui.sweep.start import announce
from tests.tui.sweep.test_plan import points_of


def test_cost_grows_with_what_costs(tmp_path: Path) -> None:
    def of(text: str) -> Any:
        return cost(points_of(text, tmp_path)[0].scenario)

    small = of("[sweep]\nheads = [1]")
    assert of("[sweep]\nheads = [1, 2]").operations == pytest.approx(2 * small.operations)
    wide = of("[sweep]\nheads = [1]\nwidths = [256]")
    assert wide.operations > 8 * small.operations
    assert wide.memory > small.memory
    assert of("[sweep]\nheads = [1]\nlengths = [65]").operations > 3.5 * small.operations


def test_estimate_of_a_product_is_counted_by_hand() -> None:
    # 2 layers of width 4: 4·4² for attention's products, 2·4·8 for the MLP, 2·n·d of scores.
    scenario = parse_scenario(
        {
            "train": {
                "task": "copy", "length": 3, "vocabulary": 5, "batch": 7, "steps": 11,
                "embed": 4, "mlp": 8, "layers": 2,
            },
            "runs": [{"name": "a", "heads": 1}],
        },
        name="x",
        origin="x",
    )  # fmt: skip
    assert isinstance(scenario.runs[0], TrainedRun)
    products = 2 * (4 * 16 + 2 * 4 * 8) + 4 * 6
    scores = 2 * 2 * 3 * 4
    assert cost(scenario).operations == 6 * 7 * 3 * (products + scores) * 11


def test_more_workers_take_less_time_and_more_memory(tmp_path: Path) -> None:
    points = points_of("[sweep]\nheads = [1]\nseeds = 4", tmp_path)
    none, one, two = (
        estimate(points[:count], workers=workers, rate=1e9)
        for count, workers in ((0, 1), (4, 1), (4, 2))
    )
    assert none.seconds == 0
    assert two.seconds - START_SECONDS == pytest.approx((one.seconds - START_SECONDS) / 2)
    assert two.memory == 2 * one.memory
    assert (two.points, two.runs) == (4, 4)
    assert "4 points, 4 runs to go" in announce(two, finished=0, backend="pool")
    assert measure_rate() > 1e7
