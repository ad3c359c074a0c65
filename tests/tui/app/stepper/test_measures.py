"""What the stepper asks of the engine, and its panels, without an app."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from synergy_tui.app.stepper.measures import (
    Diffusion,
    Spread,
    SpreadRequest,
    Stepper,
    as_csv,
    response_key,
    reweigh,
    spread_out,
)
from synergy_tui.app.stepper.stage import (
    Lineup,
    Stage,
    best_text,
    dag_of,
    draw_response,
    draw_stage,
    draw_weights,
)
from synergy_tui.app.widgets.shading import head_style
from synergy_tui.app.widgets.styles import STYLES
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.words import compact
from tests.recordings import recording
from tests.tui.app.conftest import canvas_text
from tests.tui.app.heads import NAMES

PATH = "attention/both-designed.safetensors"


@pytest.fixture(scope="module")
def spread() -> Spread:
    """Example 2 with its own weights, the signal starting at u."""
    experiment = Experiment(recording("example2"))
    return spread_out(experiment, SpreadRequest(PATH, 0, 0, 0, None), None)


@pytest.fixture(scope="module")
def diffusion(spread: Spread) -> Diffusion:
    return spread.diffusion


def test_example_2_spreads_as_in_figure_3(diffusion: Diffusion) -> None:
    assert diffusion.heads[0, :4, 3].tolist() == [0, 0, 0, 0.125]
    assert diffusion.heads[1, 2].tolist() == pytest.approx([1, 0, 4 / 9, 1 / 9])
    assert diffusion.fidelity.minimax == pytest.approx(5 / 12)
    assert [head.minimax for head in diffusion.alone] == pytest.approx([3 / 8, 1 / 4])
    matrix = np.tensordot(diffusion.weights, diffusion.matrices, axes=1)
    for t in range(diffusion.steps):
        assert diffusion.mixed[t + 1] == pytest.approx(matrix @ diffusion.mixed[t])


def test_limits_are_distinguished_from_peaks(spread: Spread) -> None:
    from_u = spread.diffusion
    assert from_u.best(0).approached
    assert from_u.best(0).value == pytest.approx(1, abs=1e-6)
    assert from_u.heads[0, from_u.best(0).step, 3] >= 0.99
    assert from_u.heads[0, from_u.best(0).step - 1, 3] < 0.99
    from_w = spread.stepper.diffuse([0.5, 0.5], 2)
    best = from_w.best(None)
    assert (best.approached, best.value) == (False, pytest.approx(5 / 12))
    assert best.step == int(np.argmax(from_w.mixed[:, 3]))
    assert (best_text(best), best_text(from_u.best(0))) == (".42", "→1")


def test_weights_change_what_is_heard_and_heads_alone_stay(spread: Spread) -> None:
    own, other = spread.diffusion, spread.stepper.diffuse([0.9, 0.1], 0)
    assert other.fidelity.minimax < own.fidelity.minimax
    steps = min(own.steps, other.steps)
    assert other.heads[:, :steps] == pytest.approx(own.heads[:, :steps])
    assert spread.stepper.diffuse([1.0, 0.0], 0).fidelity.minimax == pytest.approx(3 / 8)


def test_the_best_weights_are_those_of_the_paper(spread: Spread) -> None:
    weights, value, at_most = spread.stepper.optimal()
    assert 0.4297880419 <= at_most <= 0.4303
    assert weights[0] == pytest.approx(0.579, abs=1e-3)
    assert value == pytest.approx(0.4298, abs=1e-4)
    shares, response = spread.stepper.fidelity_along([0.5, 0.5], 0)
    assert response[0] == pytest.approx(1 / 4, abs=1e-4)
    assert response[-1] == pytest.approx(3 / 8, abs=1e-4)
    assert response[20] == pytest.approx(5 / 12, abs=1e-4)
    assert shares[int(np.argmax(response))] == pytest.approx(weights[0], abs=0.03)
    assert response.max() <= value + 1e-6


@given(
    hnp.arrays(np.float64, st.integers(1, 9), elements=st.floats(0, 1)),
    st.integers(0, 8),
    st.floats(-0.5, 1.5),
)
def test_reweighing_keeps_proportions(weights: np.ndarray, head: int, share: float) -> None:
    head %= len(weights)
    new = reweigh(weights, head, share)
    assert new.sum() == pytest.approx(1)
    assert (new >= 0).all()
    if len(weights) > 1:
        assert new[head] == pytest.approx(min(max(share, 0), 1))
        others, old = np.delete(new, head), np.delete(weights, head)
        if old.sum() > 1e-9 and others.sum() > 1e-9:
            assert others / others.sum() == pytest.approx(old / old.sum(), abs=1e-9)


def test_the_response_does_not_depend_on_the_weight_it_is_drawn_over() -> None:
    place = ("file", 0, 0)
    one = response_key(place, np.array([0.2, 0.5, 0.3]), 0)
    assert one == response_key(place, reweigh([0.2, 0.5, 0.3], 0, 0.6), 0)
    assert one != response_key(place, reweigh([0.2, 0.5, 0.3], 1, 0.6), 0)
    assert one != response_key(place, np.array([0.2, 0.5, 0.3]), 1)


def test_what_was_loaded_is_used_again(spread: Spread) -> None:
    experiment = Experiment(recording("example2"))
    again = spread_out(experiment, SpreadRequest(PATH, 0, 0, 1, (0.3, 0.7)), spread)
    assert again.snapshot is spread.snapshot
    assert again.stepper is spread.stepper
    assert again.diffusion.weights.tolist() == [0.3, 0.7]
    far = spread_out(experiment, SpreadRequest(PATH, 9, 9, 99, (1.0,)), spread)
    assert far.place == (PATH, 0, 0)
    assert far.diffusion.source == 3
    assert far.diffusion.weights.tolist() == [0.5, 0.5]


def lineup(diffusion: Diffusion, step: int) -> Lineup:
    return Lineup.of([Stage(diffusion, head, step, NAMES) for head in (0, 1, None)])


def test_the_mixture_is_drawn_as_its_two_heads_laid_over_each_other(diffusion: Diffusion) -> None:
    panels = [draw_stage(lineup(diffusion, 3), place, 24, 12, "shades") for place in range(3)]
    first, second, both = (panel.lines()[:8] for panel in panels)
    for one, two, mixed in zip(first, second, both, strict=True):
        for a, b, c in zip(one, two, mixed, strict=True):
            if a in "╭╮│─▼" or b in "╰╯├┤│─▲┼":
                assert c in (a, b)
    assert canvas_text(panels[0]).splitlines()[-2].split() == ["▸", "3", "1", ".88", ".5", ".12"]


def test_arcs_that_carry_signal_are_bold(diffusion: Diffusion) -> None:
    def bold(head: int, step: int) -> list[tuple[int, int]]:
        arcs = dag_of(Stage(diffusion, head, step, NAMES))
        return sorted(
            (arc.start, arc.end)
            for arc in (*arcs.above, *arcs.below)
            if arc.style == head_style(head, "bold")
        )

    assert bold(0, 0) == []
    assert bold(0, 1) == [(0, 1)]
    assert bold(0, 2) == [(0, 1), (1, 2)]
    assert bold(1, 2) == [(0, 2), (2, 3)]


def test_of_one_head_the_optimal_weight_is_known_and_of_too_many_it_is_not_searched(
    diffusion: Diffusion,
) -> None:
    one = replace(
        diffusion, weights=np.ones(1), alone=diffusion.alone[:1], heads=diffusion.heads[:1]
    )
    assert canvas_text(draw_weights(one, 3, 0, None, 60, 6)).splitlines()[1].split()[1:4] == [
        "1", "1", "1",
    ]  # fmt: skip
    assert "…" in canvas_text(draw_weights(diffusion, 3, 0, None, 60, 6))
    unknown = np.full(2, np.nan)
    assert canvas_text(draw_weights(diffusion, 3, 0, unknown, 60, 6)).count(" – ") == 2


def test_heads_out_of_sight_are_counted(diffusion: Diffusion) -> None:
    many = replace(
        diffusion,
        weights=np.full(8, 1 / 8),
        alone=diffusion.alone[:1] * 8,
        heads=np.repeat(diffusion.heads[:1], 8, axis=0),
        bests=[*diffusion.bests[:1] * 8, diffusion.bests[-1]],
    )
    for selected, hint in ((0, "5 more ▾"), (4, "3 more ▴  2 more ▾"), (7, "5 more ▴")):
        lines = canvas_text(draw_weights(many, 3, selected, None, 60, 6)).splitlines()
        assert lines[-1].strip() == hint
        assert len([line for line in lines if line.split()[:1] != ["Σ"]]) == 5
    text = canvas_text(draw_weights(many, 3, 4, None, 60, 6, ascii_only=True))
    assert "3 more ^  2 more v" in text
    assert "more" not in canvas_text(draw_weights(many, 3, 4, None, 60, 10))


def test_the_table_of_weights_shows_each_head_and_the_mixture(diffusion: Diffusion) -> None:
    optimal = np.array([0.579, 0.421])
    lines = canvas_text(draw_weights(diffusion, 3, 0, optimal, 60, 6)).splitlines()
    assert lines[0].split() == ["head", "weight", "optimal", "φ_min", "now", "best", "at", "t"]
    assert lines[1].split() == ["▸", "1", ".5", ".58", ".375", ".125", "→1", "14"]
    assert lines[3].split()[:4] == ["Σ", "1", ".4167", compact(diffusion.mixed[3, 3], 3)]
    narrow = canvas_text(draw_weights(diffusion, 3, 0, None, 36, 6, ascii_only=True))
    assert narrow.isascii()
    assert "optimal" not in narrow


def test_the_response_shows_now_the_optimum_and_the_best_single_head(spread: Spread) -> None:
    from synergy_tui.app.stepper.measures import Optimum, Response

    weights, fidelity = spread.stepper.fidelity_along([0.5, 0.5], 0)
    response = Response((), weights, fidelity)
    optimum = Optimum(spread.place, np.array([0.579, 0.421]), 0.4298, 0.43)
    canvas = draw_response(spread.diffusion, 0, response, optimum, 60, 10)
    drawn = canvas_text(canvas)
    assert "best head alone .375" in drawn
    assert "optimal .4298" in drawn
    cursor = np.argwhere(canvas.styles[:-1] == STYLES.index("cursor"))[:, 1]
    good = np.argwhere((canvas.styles == STYLES.index("good")) & (canvas.chars == ord("┊")))[:, 1]
    assert len(set(cursor.tolist())) == 1
    assert 2 <= good[0] - cursor[0] <= 6
    assert "measuring" in canvas_text(draw_response(spread.diffusion, 0, None, None, 60, 10))


def test_the_spread_can_be_taken_away_as_a_table(spread: Spread) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv("both", spread))))
    assert len(rows) == 3 * (spread.diffusion.steps + 1) * 4
    found = next(
        row for row in rows if (row["heads"], row["t"], row["node"]) == ("mixed", "3", "τ")
    )
    assert float(found["share"]) == spread.diffusion.mixed[3, 3]
    assert found["source"] == "u"


def test_one_head_has_no_response_and_keeps_its_weight(spread: Spread) -> None:
    alone = Stepper(spread.stepper.base.head(0)).diffuse([1.0], 0)
    assert alone.weights.tolist() == [1.0]
    assert reweigh([1.0], 0, 0.3).tolist() == [1.0]
    panel = draw_stage(Lineup.of([Stage(alone, None, 2, NAMES)]), 0, 40, 14)
    assert "[u]" in canvas_text(panel)
