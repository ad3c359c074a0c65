"""What the panels show of a state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from synergy_tui.app import status
from synergy_tui.app.dashboard import panels, tracks
from synergy_tui.app.dashboard.comparison import summarise
from synergy_tui.app.dashboard.look import HALF_LIVES, Aim, Lens, Look, Window
from synergy_tui.app.dashboard.scales import scales
from synergy_tui.app.widgets.crosshair import read
from synergy_tui.app.widgets.plot import Bars, Panel, Plot
from synergy_tui.experiments import conventions
from synergy_tui.experiments.state import ExperimentState
from synergy_tui.words import measured
from tests.tui.app import synthetic


@pytest.fixture(scope="module")
def state() -> ExperimentState:
    return synthetic.state_of(synthetic.trained(upto=400, layers=2))


def look(state: ExperimentState, step: int | None = None, **options: Any) -> Look:
    chosen = options.pop("convention", conventions.available(state)[0])
    return Look(state.step if step is None else step, step is None, chosen, **options)


def panel(question: int, state: ExperimentState, *names: str, **options: Any) -> Panel:
    seen = look(state, options.pop("step", None), **options)
    runs = [state.runs[name] for name in names]
    return panels.panel(question, state, runs, seen, scales(state, seen))


def plot(shown: Panel) -> Plot:
    assert isinstance(shown.plot, Plot)
    return shown.plot


def test_every_question_is_answered_by_a_number_with_its_unit(state: ExperimentState) -> None:
    answers = [panel(question, state, "multi-head").headline for question in range(3)]
    assert answers[0] == "mean 12.1 steps"
    assert answers[1].startswith("φ .0482 [")
    assert answers[2].startswith("loss .0")
    assert answers[2].endswith("% right")


def test_earlier_probes_are_drawn_faintly(state: ExperimentState) -> None:
    curves = plot(panel(0, state, "multi-head")).curves
    assert sum(curve.faint for curve in curves) == tracks.EARLIER
    assert {curve.label for curve in curves if curve.label} == {
        "step 20", "mean", "median", "worst",
    }  # fmt: skip


def test_mixing_point_floor_and_bound_are_marked(state: ExperimentState) -> None:
    labels = [marker.label for marker in plot(panel(0, state, "single-head")).markers]
    assert any(label.startswith("mixed at ") for label in labels)
    assert any(label.startswith("proven limit ") for label in labels)
    assert ".75 arrived" in labels
    assert [marker.label for marker in plot(panel(2, state, "single-head")).markers] == ["floor 0"]


def test_columns_share_their_axes(state: ExperimentState) -> None:
    for question in range(3):
        one = plot(panel(question, state, "single-head"))
        other = plot(panel(question, state, "multi-head"))
        assert (one.x, one.y) == (other.x, other.y)


def test_the_state_at_the_cursor_is_shown(state: ExperimentState) -> None:
    then = panel(0, state, "multi-head", step=100)
    assert then.headline != panel(0, state, "multi-head").headline
    curves = plot(panel(2, state, "multi-head", step=100)).curves
    strong = [curve for curve in curves if not curve.faint]
    assert max(curve.x[-1] for curve in strong) <= 100
    assert plot(panel(2, state, "multi-head", step=100)).cursor == 100


def test_the_convention_moves_the_mixing_point(state: ExperimentState) -> None:
    points = {
        convention.name: [
            marker.label
            for marker in plot(panel(0, state, "multi-head", convention=convention)).markers
        ]
        for convention in conventions.available(state)
    }
    assert len(points) == 4
    assert len({tuple(labels) for labels in points.values()}) == 4
    assert ".875 arrived" in points["theory · l1, mean"]


def test_other_conventions_of_a_probe_can_be_chosen() -> None:
    events = synthetic.trained(upto=40)
    for event in events:
        if event["kind"] == "probe":
            event["conventions"] = {"paper-code": synthetic.analysis(3.6, 0.4, 8, "overall")}
    measured = synthetic.state_of(events)
    paper = conventions.available(measured)[-1]
    assert paper.source == "paper-code"
    assert panel(0, measured, "multi-head", convention=paper).headline == "mean 3.6 steps"


def test_layers_are_drawn_together_or_alone(state: ExperimentState) -> None:
    both = plot(panel(1, state, "multi-head"))
    assert {"layer 1", "layer 2"} <= {curve.label for curve in both.curves}
    assert panel(0, state, "multi-head", layer=2).detail.endswith("layer 2")
    assert (
        panel(0, state, "multi-head", layer=2).headline
        != panel(0, state, "multi-head", layer=1).headline
    )


def test_runs_in_one_chart_carry_their_glyphs(state: ExperimentState) -> None:
    curves = plot(panel(2, state, "single-head", "multi-head")).curves
    assert {curve.glyph for curve in curves} == {"●", "▲"}
    together = panel(0, state, "single-head", "multi-head", ascii_only=True)
    assert together.headline.isascii()


def test_a_fidelity_that_spans_decades_gets_a_logarithmic_axis() -> None:
    events = synthetic.trained(upto=60)
    for event in events:
        if event["kind"] == "probe" and event["run"] == "single-head":
            event["overall"]["fidelity"]["minimax"] = 1e-7
    measured = synthetic.state_of(events)
    assert plot(panel(1, measured, "multi-head")).y.scale == "log"
    assert plot(panel(1, measured, "multi-head", lens=Lens(logarithmic=False))).y.scale == "linear"


def test_a_censored_time_is_shown_as_what_it_is() -> None:
    events = synthetic.trained(upto=20)
    for event in events:
        if event["kind"] == "probe":
            event["overall"]["mixing"]["mixing_time_tv_max"] = "> 10000"
            event["overall"]["mixing"]["hitting_time_mean"] = float("inf")
    shown = panel(0, synthetic.state_of(events), "multi-head")
    assert shown.headline == "mean inf steps"
    assert "mixed at >10000" in [marker.label for marker in plot(shown).markers]


def test_a_designed_graph_compares_its_heads_and_learns_nothing() -> None:
    designed = synthetic.state_of(synthetic.designed())
    assert status.rows(designed) == (0, 1, 3)
    shown = panel(1, designed, "both")
    assert isinstance(shown.plot, Bars)
    assert [bar.name for bar in shown.plot.bars] == ["head 1", "head 2", "together"]


@pytest.mark.parametrize(
    ("events", "question", "said", "promised"),
    [
        (
            synthetic.trained(upto=0)[:1],
            0,
            "the worker is starting: loading torch takes a few seconds",
            "reached the sink",
        ),
        (synthetic.trained(upto=0)[:1], 1, "heard worst", "heard worst"),
        (synthetic.trained(upto=0)[:3], 0, "waiting for the first probe", "reached the sink"),
        (synthetic.trained(upto=0)[:3], 2, "waiting for the first training step", "floor"),
        (synthetic.designed()[:2], 1, "waiting for the engine's answer", "heard worst"),
    ],
)
def test_empty_panels_say_what_is_waited_for_and_what_will_be_there(
    events: list[dict[str, Any]], question: int, said: str, promised: str
) -> None:
    measured = synthetic.state_of(events)
    empty = plot(panel(question, measured, next(iter(measured.runs)))).empty.split("\n")
    assert said in empty[0]
    assert promised in empty[-1]


def test_bars_of_all_runs_share_their_scale() -> None:
    designed = synthetic.state_of(synthetic.designed())
    drawn = [panel(1, designed, name).plot for name in designed.runs]
    assert len(drawn) == 3
    assert {chart.high for chart in drawn if isinstance(chart, Bars)} == {5 / 12}


def test_the_summary_names_conventions_and_every_run(state: ExperimentState) -> None:
    content = summarise(state, look(state))
    assert "multi-head" in content.line
    assert content.notes[0].startswith("theory · mean of 2 layers (m, v) · these two networks")
    assert any("worst start, total variation ≤ ¼ (m changes)" in note for note in content.notes)
    chosen = summarise(state, look(state, layer=2))
    assert chosen.notes[0].startswith("theory · layer 2 (m, v)")
    assert chosen.board != content.board, "a chosen layer's numbers stand under its name"
    shown = state.runs["multi-head"].probe.layers[1]["mixing"]["hitting_time_mean"]
    assert f"→ {measured(shown)} steps" in chosen.board[0][3].text
    assert [row[0].text for row in content.table[1:]] == ["● single-head", "▲ multi-head"]
    names = [cell.text for cell in content.table[0]]
    assert {"steps to sink", "minimax fidelity φ", "loss, nats", "parameters"} <= set(names)


def test_before_the_first_probe_the_summary_claims_nothing() -> None:
    early = synthetic.state_of(synthetic.trained(upto=0)[:3])
    assert summarise(early, look(early)).line == "nothing has been measured yet"


def test_every_run_is_read_at_the_crosshair(state: ExperimentState) -> None:
    at = Lens(aim=Aim("steps", 207, 2, "single-head"))
    found = []
    for question in range(3):
        crosshair = plot(panel(question, state, "single-head", lens=at)).crosshair
        found.append(crosshair)
    assert found[0] is None, "its axis counts something else"
    assert found[1] is not None
    assert (found[1].boxed, found[1].others) == (False, [])
    assert found[2] is not None
    assert found[2].boxed
    assert [curve.label for curve in found[2].others] == ["multi-head"]
    shown = plot(panel(2, state, "single-head", lens=at))
    assert shown.crosshair is not None
    readings = {each.name: each.value for each in read(shown.curves, shown.crosshair)}
    assert readings["raw"] == measured(state.runs["single-head"].loss.at(207))
    assert set(readings) == {"raw", "EMA", "multi-head"}


def test_a_window_narrows_the_axes_of_training(state: ExperimentState) -> None:
    last = Lens(windows={"steps": Window(100)})
    shown = plot(panel(2, state, "multi-head", lens=last))
    assert (shown.x.low, shown.x.high, shown.x.label) == (300, 400, "last 100 steps")
    losses = state.runs["multi-head"].losses[-101:]
    assert shown.y.low > 0
    assert shown.y.high < 2 * max(losses.max(), state.runs["single-head"].losses[-101:].max())
    earlier = plot(panel(2, state, "multi-head", lens=last, step=200)).x
    assert (earlier.low, earlier.high) == (100, 200), "it ends at the cursor"


def test_arrival_stretched_by_one_slow_run_gets_a_logarithmic_axis() -> None:
    events = synthetic.trained(upto=20)
    for event in events:
        if event["kind"] == "probe" and event["run"] == "single-head":
            event["overall"] = synthetic.analysis(900, 0.01, 1, "overall")
    measured_ = synthetic.state_of(events)
    assert plot(panel(0, measured_, "multi-head")).x.scale == "log1p"
    linear = Lens(logarithmic=False)
    assert plot(panel(0, measured_, "multi-head", lens=linear)).x.scale == "linear"
    both = synthetic.state_of(synthetic.trained(upto=20))
    assert plot(panel(0, both, "multi-head")).x.scale == "linear"


def test_smoothing_is_named_and_the_raw_losses_stand_behind(state: ExperimentState) -> None:
    shown = panel(2, state, "multi-head")
    assert shown.detail == "training loss, nats · EMA, half-life 10 steps"
    raw = [curve for curve in plot(shown).curves if curve.reads == "raw"]
    assert [curve.faint for curve in raw] == [True]
    np.testing.assert_array_equal(raw[0].y, state.runs["multi-head"].losses)
    off = panel(2, state, "multi-head", lens=Lens(smoothing=HALF_LIVES.index(0.0)))
    assert off.detail.endswith("not smoothed")
    assert [curve.reads for curve in plot(off).curves] == ["loss"]
