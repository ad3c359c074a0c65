"""How far two runs are apart, against slow and obvious ways to say it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from synergy_tui.app.dashboard.look import Look
from synergy_tui.app.dashboard.scales import scales
from synergy_tui.app.sidebyside import differences
from synergy_tui.app.widgets.plot import Bars, Plot, draw
from synergy_tui.experiments.beside import Side, pair
from synergy_tui.experiments.conventions import available
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.experiments.state import ExperimentState
from synergy_tui.experiments.verdict import scoreboard
from tests.recordings import recording
from tests.tui.app import synthetic

tracks = st.dictionaries(st.integers(0, 30), st.floats(-9, 9), max_size=12)


def as_track(points: dict[int, float]) -> tuple[np.ndarray, np.ndarray]:
    steps = sorted(points)
    return np.array(steps, dtype=np.int64), np.array([points[step] for step in steps])


@given(tracks, tracks)
def test_both_are_taken_at_equal_steps(one: dict[int, float], other: dict[int, float]) -> None:
    def last(points: dict[int, float], step: int) -> float | None:
        known = [at for at in points if at <= step]
        return points[max(known)] if known else None

    expected = []
    for step in range(31):
        both = last(one, step), last(other, step)
        ended = bool(one and other) and step > min(max(one), max(other))
        if (step in one or step in other) and None not in both and not ended:
            expected.append((step, *both))
    x, first, second = differences.aligned(as_track(one), as_track(other))
    assert list(zip(x.tolist(), first.tolist(), second.tolist(), strict=True)) == expected


def looking(state: ExperimentState, step: int, **options: object) -> Look:
    return Look(step=step, following=False, convention=available(state)[0], **options)  # type: ignore[arg-type]


def recorded(*names: str, step: int | None = None) -> ExperimentState:
    runs = Experiment(recording("sort")).fold().runs
    one, other = (Side(runs[name], {}, step) for name in names)
    return pair((one, other))


@pytest.mark.parametrize(("question", "claim"), [(0, "sooner"), (1, "clearer")])
def test_the_ratio_is_the_scoreboards(question: int, claim: str) -> None:
    """At the cursor, in the headline and as the curve's value."""
    state = recorded("single-head", "multi-head")
    for step in (20, 40, 80):
        line = next(each for each in scoreboard(state, step).lines if each.claim == claim)
        look = looking(state, step)
        shown = differences.panel(
            question, list(state.runs.values()), look, scales(state, look), alike=True
        )
        assert shown.headline == f"{line.times} {line.range}"
        assert isinstance(shown.plot, Plot)
        curve = shown.plot.curves[-1]
        assert curve.x[-1] == step
        assert curve.y[-1] == pytest.approx(line.ratio)


def test_inputs_are_paired_only_between_runs_that_are_alike() -> None:
    """On each input B is a thousandth clearer; over inputs both vary by orders of magnitude."""
    state = recorded("single-head", "multi-head")
    logs = [-8.0, -6.0, -4.0, -2.0]
    for run, more in zip(state.runs.values(), (0.0, 0.001), strict=True):
        analysis: Any = {**run.probes[-1].whole}
        analysis["per_input"] = {"log_fidelity": [each + more for each in logs]}
        run.probes = [*run.probes[:-1], replace(run.probes[-1], layers=[analysis])]
    look = looking(state, 80)
    axis = scales(state, look)
    runs = list(state.runs.values())
    alike, unlike = (
        differences.panel(1, runs, look, axis, alike=each).headline for each in (True, False)
    )
    assert alike == "1× [1, 1]"
    low, high = map(float, unlike.partition("[")[2].rstrip("]").split(", "))
    assert low < 0.01
    assert high > 100


def test_the_difference_of_losses_is_b_less_a_in_nats() -> None:
    state = recorded("single-head", "multi-head")
    one, other = state.runs.values()
    look = looking(state, 80)
    shown = differences.panel(2, [one, other], look, scales(state, look), alike=True)
    assert isinstance(shown.plot, Plot)
    raw = shown.plot.curves[0]
    by_hand = [b - a for a, b in zip(one.losses.tolist(), other.losses.tolist(), strict=True)]
    assert raw.y.tolist() == pytest.approx(by_hand)
    mean = (sum(other.losses[-20:]) - sum(one.losses[-20:])) / 20  # as verdicts settle it
    assert float(shown.headline.removesuffix(" nats")) == pytest.approx(mean, abs=5e-4)


def test_what_is_not_trained_is_compared_as_it_stands() -> None:
    state = synthetic.state_of(synthetic.designed())
    both = pair((Side(state.runs["head 1"], {}), Side(state.runs["both"], {})))
    look = looking(both, 0)
    runs, axis = list(both.runs.values()), scales(both, look)
    soon = differences.panel(0, runs, look, axis, alike=True)
    assert soon.headline == "1.28×", "6.0 steps against 4.7"
    assert isinstance(soon.plot, Plot)
    curve = soon.plot.curves[0]
    place = curve.x.tolist().index(4)
    assert curve.y[place] == pytest.approx(math.exp(-4 / 6) - math.exp(-4 / 4.7), abs=0.05)
    clear = differences.panel(1, runs, look, axis, alike=True)
    assert clear.headline == "1.11×", "5/12 over 3/8"


def test_two_moments_of_one_run_are_compared_layer_by_layer() -> None:
    whole = synthetic.state_of(synthetic.trained(upto=200, layers=3)).runs["multi-head"]
    state = pair((Side(whole, {}, 0), Side(whole, {}, 200)))
    look = looking(state, 200)
    shown = differences.panel(1, list(state.runs.values()), look, scales(state, look), alike=False)
    assert isinstance(shown.plot, Bars)
    first, last = whole.probes[0], whole.probes[-1]
    expected = [
        after["fidelity"]["minimax"] / before["fidelity"]["minimax"]
        for before, after in zip(first.layers, last.layers, strict=True)
    ]
    assert [bar.value for bar in shown.plot.bars] == pytest.approx([*expected, 1.0])


@pytest.mark.parametrize("question", [0, 1, 2])
def test_nothing_yet_is_drawn_as_nothing_yet(question: int) -> None:
    state = synthetic.state_of(synthetic.trained(upto=0)[:3])
    both = pair((Side(state.runs["single-head"], {}), Side(state.runs["multi-head"], {})))
    look = looking(both, 0)
    shown = differences.panel(
        question, list(both.runs.values()), look, scales(both, look), alike=True
    )
    assert isinstance(shown.plot, Plot)
    assert shown.headline == ""
    assert "awaited" in " ".join(draw(shown.plot, 60, 8).lines())
