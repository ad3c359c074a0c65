"""The verdict: numbers in honest words."""

from __future__ import annotations

import math
from typing import Any

import pytest

from synergy_tui.experiments.metrics import metric, run_record
from synergy_tui.experiments.state import ExperimentState
from synergy_tui.experiments.verdict import verdict
from synergy_tui.scenario.expect import UndecidedError
from synergy_tui.scenario.metrics import unknown_metric
from synergy_tui.words import AtLeast, fraction, short_number
from tests.recordings import recording


def measured(
    run: str,
    heads: int,
    *,
    hitting: Any = 10.0,
    fidelity: float = 0.1,
    amplification: float = 1.0,
    spread: float = 0.0,
    inputs: int = 16,
    **fields: Any,
) -> list[dict[str, Any]]:
    def interval(value: Any) -> list[Any]:
        return [value - spread * value, value + spread * value]

    analysis = {
        "layer": 1, "heads": heads, "convention": "theory", "combine": "walks",
        "sink": "excluded", "weights": "learned",
        "mixing": {
            "hitting_time_mean": hitting, "hitting_time_capped_mean": min(hitting, 50.0),
            "hitting_time_cap": 100, "max_steps": 10_000, "mixing_time_tv_max": "> 10000",
        },
        "fidelity": {"minimax": fidelity},
        "per_head": [{"weight": 1.0, "hitting_time_mean": 4.0, "fidelity_minimax": 0.2}],
        "synergy": {"fidelity_amplification": amplification},
        "intervals": {
            "hitting_time_mean": interval(hitting),
            "hitting_time_capped_mean": interval(min(hitting, 50.0)),
            "fidelity_minimax": interval(fidelity),
            "fidelity_amplification": interval(amplification),
        },
    }  # fmt: skip
    common = {"v": 1, "t": 0.0, "run": run}
    return [
        {**common, "kind": "run_started", "heads": heads, "parameters": 100, "nodes": 8},
        {
            **common, "kind": "probe", "step": 0, "inputs": inputs, "layers": [analysis],
            "overall": analysis, **fields,
        },
    ]  # fmt: skip


def state_of(*runs: list[dict[str, Any]]) -> ExperimentState:
    state = ExperimentState()
    for events in runs:
        state.apply_all(events)
    return state


def test_nothing_measured_yet() -> None:
    assert verdict(ExperimentState()).line == "nothing measured yet"


def test_a_clear_difference_is_a_factor() -> None:
    one = measured("one", 1, hitting=30.0, fidelity=0.1, spread=0.1)
    many = measured("many", 8, hitting=10.0, fidelity=0.2, amplification=1.5, spread=0.1)
    line = verdict(state_of(one, many)).line
    assert "many against one: the sink hears 3x sooner (30 → 10 steps)" in line
    assert "2x clearer (minimax fidelity 0.1 → 0.2)" in line
    assert "1.5x clearer than its own best head" in line


def test_worse_is_said_as_plainly() -> None:
    one = measured("one", 1, hitting=10.0, fidelity=0.2, spread=0.1)
    many = measured("many", 8, hitting=30.0, fidelity=0.1, amplification=0.5, spread=0.1)
    line = verdict(state_of(one, many)).line
    assert "the sink hears 3x later" in line
    assert "2x less clear (" in line
    assert "less clear than its own best head (0.5x)" in line


def test_overlapping_intervals_are_no_clear_difference() -> None:
    one = measured("one", 1, hitting=30.0, fidelity=0.1, spread=0.9)
    many = measured("many", 8, hitting=10.0, fidelity=0.2, amplification=1.5, spread=0.9)
    line = verdict(state_of(one, many)).line
    assert "no clear difference in how soon (30 → 10 steps)" in line
    assert "no clear difference in how clearly" in line
    assert "not clearly better than its own best head (1.5x)" in line


def test_equal_is_equal() -> None:
    found = verdict(state_of(measured("one", 1), measured("same", 4)))
    assert "the sink hears equally soon" in found.line
    assert "equally clear" in found.line
    assert "exactly as clear as its own best head (amplification 1)" in found.line


def test_a_few_walks_that_take_for_ever_do_not_make_the_headline() -> None:
    one = measured("one", 1, hitting=1e12, spread=0.1)
    line = verdict(state_of(one, measured("many", 8, hitting=10.0, spread=0.1))).line
    assert "the sink hears 5x sooner (50 → 10 steps, capped at 100)" in line


def test_another_convention_that_says_the_opposite_is_in_the_line() -> None:
    def other(value: float) -> dict[str, Any]:
        return {
            "paper-code": {"mixing": {"hitting_time_mean": 4.0}, "fidelity": {"minimax": value}}
        }

    one = measured("one", 1, fidelity=0.6, conventions=other(0.001))
    many = measured("many", 8, fidelity=0.2, conventions=other(0.004))
    found = verdict(state_of(one, many))
    assert "but under paper-code how clearly gets better (0.001 → 0.004)" in found.line
    assert any("under paper-code: 4 → 4 steps to sink" in detail for detail in found.details)


def test_conventions_and_inputs_are_named() -> None:
    found = verdict(state_of(measured("one", 1), measured("many", 8)))
    assert found.convention == (
        "theory, walks, sink excluded, learned head weights · 16 inputs, 95 % intervals"
    )
    assert "1 input, exact" in verdict(state_of(measured("one", 1, inputs=1))).convention


def test_different_parameter_counts_are_told() -> None:
    many = measured("many", 8)
    many[0]["parameters"] = 200
    step = {"v": 1, "t": 0.0, "kind": "train_step", "step": 1, "loss": 0.5}
    state = state_of(measured("one", 1), many, [{**step, "run": "one"}, {**step, "run": "many"}])
    assert "but their parameters differ (100 and 200)" in verdict(state).line


def test_a_designed_graph_is_told_in_fractions() -> None:
    line = verdict(ExperimentState.read(recording("example2") / "events.jsonl")).line
    assert "minimax fidelity 3/8 → 5/12" in line
    assert "1.11x clearer than its own best head" in line


def test_the_verdict_at_an_earlier_step_is_what_was_known_then() -> None:
    state = ExperimentState.read(recording("sort") / "events.jsonl")
    assert verdict(state, 0).line != verdict(state).line
    assert verdict(state, state.step).line == verdict(state).line


def test_a_failed_run_comes_first() -> None:
    line = verdict(ExperimentState.read(recording("failed") / "events.jsonl")).line
    assert line.startswith("diverges failed: the loss became nan")
    assert "steady" in line


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5 / 12, "5/12"), (0.4166, "0.417"), (3.0, "3"), (math.pi, "3.14"), (1234567.0, "1.2e6"),
        (0.00001, "1.0e-5"), (math.inf, "∞"), (0.0, "0"), (123.4567891, "123"),
    ],
)  # fmt: skip
def test_numbers_for_people(value: float, text: str) -> None:
    assert fraction(value) == text


def test_a_censored_number_is_shown_as_such() -> None:
    assert short_number(AtLeast(10_000)) == ">10000"


def test_metrics_by_name() -> None:
    state = ExperimentState.read(recording("four") / "events.jsonl")
    run = state.runs["heads-8"]
    assert metric(run, "heads") == 8
    assert metric(run, "loss") == pytest.approx(run.losses[-20:].mean())
    assert metric(run, "fidelity", 0) != metric(run, "fidelity")
    layers = [metric(run, f"layer{layer}.fidelity") for layer in (1, 2)]
    assert metric(run, "fidelity") == pytest.approx(sum(map(float, layers)) / 2)  # type: ignore[arg-type]
    assert isinstance(metric(run, "layer1.head8.fidelity"), float)
    for wrong in ("layer3.fidelity", "layer1.head9.fidelity", "layer0.fidelity", "los"):
        with pytest.raises(UndecidedError):
            metric(run, wrong)
    assert metric(state_of(measured("a", 1)).runs["a"], "mixing_time") == AtLeast(10_000)


def test_an_unknown_metric_has_a_nearest_name() -> None:
    assert unknown_metric("fidelity") is None
    assert "'fidelity'" in str(unknown_metric("fidelty"))
    assert "'weight'" in str(unknown_metric("head1.wieght"))


def test_runs_are_compared_by_the_held_out_loss_where_there_is_one() -> None:
    """With eval_sequences, the loss of a probe takes the place of the newest training losses."""

    def learned(run: str, heads: int, held_out: float, sequences: int) -> list[dict[str, Any]]:
        fields = {"loss": held_out, "accuracy": 0.75, "eval_sequences": sequences}
        step = {"v": 1, "t": 0.0, "run": run, "kind": "train_step", "step": 1, "loss": 0.5}
        return [*measured(run, heads, **fields), {**step, "accuracy": 0.9}]

    state = state_of(learned("one", 1, 0.25, 512), learned("many", 8, 0.125, 512))
    one = state.runs["one"]
    assert verdict(state).line.endswith("held-out loss 0.25 → 0.125")
    assert (metric(one, "loss"), metric(one, "accuracy")) == (0.25, 0.75)
    assert (metric(one, "training_loss"), metric(one, "training_accuracy")) == (0.5, 0.9)
    record = run_record(one)
    assert (record["loss"], record["accuracy"], record["loss_of"]) == (0.25, 0.75, "held-out")

    state = state_of(learned("one", 1, 0.25, 0), learned("many", 8, 0.125, 0))
    one = state.runs["one"]
    assert verdict(state).line.endswith("; loss 0.5 → 0.5")
    assert (metric(one, "loss"), metric(one, "held_out_loss")) == (0.5, 0.25)
    assert run_record(one)["loss_of"] == "training"


def test_the_loss_without_a_head_is_a_number_of_that_head() -> None:
    events = measured("one", 1)
    events[1]["layers"][0]["per_head"][0]["loss_without"] = 1.5
    run = state_of(events).runs["one"]
    assert metric(run, "layer1.head1.loss_without") == metric(run, "head1.loss_without") == 1.5
    with pytest.raises(UndecidedError):
        metric(state_of(measured("two", 1)).runs["two"], "head1.loss_without")
