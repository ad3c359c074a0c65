"""The scoreboard: signs that follow intervals, nulls, and who is compared with whom."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from synergy_tui.experiments import comparison
from synergy_tui.experiments.conventions import Convention
from synergy_tui.experiments.metrics import metric, run_record
from synergy_tui.experiments.state import ExperimentState, outline
from synergy_tui.experiments.verdict import Line, scoreboard
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


def board_of(*runs: list[dict[str, Any]], **options: Any) -> dict[str, Line]:
    return {line.claim: line for line in scoreboard(state_of(*runs), **options).lines}


def test_nothing_measured_yet() -> None:
    assert scoreboard(ExperimentState()).line == "nothing measured yet"


def test_a_clear_difference_is_supported_with_its_numbers() -> None:
    one = measured("one", 1, hitting=30.0, fidelity=0.1, spread=0.1)
    many = measured("many", 8, hitting=10.0, fidelity=0.2, amplification=1.5, spread=0.1)
    found = scoreboard(state_of(one, many))
    assert found.heading.startswith("many (8) against one (1) · same seed, same batches")
    board = board_of(one, many)
    sooner, clearer = board["sooner"], board["clearer"]
    assert (sooner.verdict, sooner.ratio) == ("supported", pytest.approx(3))
    assert sooner.values == "30 → 10 steps to sink"
    # Half widths of 10 % each, independent, in logarithms.
    low, high = sooner.interval or (0, 0)
    assert (low, high) == pytest.approx((3 * math.exp(-0.1 * 2**0.5), 3 * math.exp(0.1 * 2**0.5)))
    assert (clearer.verdict, clearer.times, clearer.values) == ("supported", "2×", "φ .1 → .2")
    assert board["synergy-clarity"].values == "φ .133 → .2, best head → all"


def test_whether_heads_could_compose_is_said_in_words() -> None:
    events = measured("four", 4)
    events[1]["overall"]["fidelity"] |= {"time": 1, "beyond_one_step": 0.25}
    assert scoreboard(state_of(events)).notes[-1] == (
        "four: faintest token heard best at t* = 1; t* > 1, where heads compose, in 25% of inputs"
    )


def test_worse_is_said_as_plainly() -> None:
    one = measured("one", 1, hitting=10.0, fidelity=0.2, spread=0.1)
    many = measured("many", 8, hitting=30.0, fidelity=0.1, amplification=0.5, spread=0.1)
    board = board_of(one, many)
    words = [board[name].verdict for name in ("sooner", "clearer", "synergy-clarity")]
    assert words == ["contradicted"] * 3
    assert board["sooner"].times == ".333×"
    assert board["sooner"].decided


def test_intervals_that_contain_one_leave_it_undecided() -> None:
    one = measured("one", 1, hitting=30.0, fidelity=0.1, spread=0.9)
    many = measured("many", 8, hitting=10.0, fidelity=0.2, amplification=1.5, spread=0.9)
    assert {line.verdict for line in board_of(one, many).values()} == {"undecided"}


def test_a_narrow_interval_around_one_is_no_effect() -> None:
    board = board_of(measured("one", 1, spread=0.01), measured("same", 4, spread=0.01))
    assert {line.verdict for line in board.values()} == {"no effect"}


@pytest.mark.parametrize("values", [1, 2, 3, 7, 31, 60])
def test_students_quantiles_are_those_of_scipy(values: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    logs = np.random.default_rng(values).normal(size=values + 1)
    found = comparison.estimate(logs.tolist())
    low, high = stats.t.interval(0.95, values, logs.mean(), stats.sem(logs))
    assert found.log == pytest.approx((low + high) / 2, abs=1e-12)
    assert found.half == pytest.approx((high - low) / 2, rel=2e-3)


def paired(run: str, heads: int, logs: list[float], step: int = 0, **extra: Any) -> list[Any]:
    """A run whose inputs have these log fidelities, and log hitting times of 0."""
    events = measured(run, heads, spread=0.5, inputs=len(logs))
    events[1]["step"] = step
    analysis = events[1]["overall"]
    analysis["inputs"] = len(logs)
    analysis["per_input"] = {"log_fidelity": logs, "log_hitting_time": [0.0] * len(logs)}
    events[0] |= extra
    return events


def test_runs_of_one_seed_are_paired_by_input() -> None:
    """Inputs differ by far more than the networks do, which pairing removes."""
    logs = [-9.0, -2.0, -5.0, -1.0]
    many = paired("many", 8, [each + 0.5 + 0.01 * place for place, each in enumerate(logs)])
    clearer = board_of(paired("one", 1, logs), many)["clearer"]
    assert clearer.verdict == "supported"
    assert clearer.ratio == pytest.approx(math.exp(0.515))
    low, high = clearer.interval or (0, 0)
    assert high / low < 1.1


def test_what_the_untrained_networks_show_as_well_is_not_supported() -> None:
    logs = [-9.0, -2.0, -5.0, -1.0]
    higher = [each + 0.5 + 0.01 * place for place, each in enumerate(logs)]
    before = [paired("one", 1, logs), paired("many", 8, higher)]
    after = [paired("one", 1, logs, 10)[1:], paired("many", 8, higher, 10)[1:]]
    board = board_of(*before, *after)
    assert board["clearer"].verdict == "undecided"
    assert board["clearer"].against == "untrained: 1.67×"
    # Beyond it, the same ratio counts.
    untrained = [paired("one", 1, logs), paired("many", 8, logs)]
    assert board_of(*untrained, *after)["clearer"].verdict == "supported"


def test_synergy_that_shuffled_inputs_show_as_well_is_not_supported() -> None:
    def many(low: float, high: float) -> list[dict[str, Any]]:
        events = measured("many", 8, amplification=1.5, spread=0.1)
        ends = {"fidelity_amplification": [1.3, 1.6], "hitting_gain": [0.9, 1.1]}
        events[1]["overall"]["nulls"] = {
            "shuffled": {
                "fidelity_amplification": 1.4, "hitting_gain": 1.0, "intervals": ends,
                "beyond": {"fidelity_amplification": [low, high], "hitting_gain": [0.9, 1.1]},
            }
        }  # fmt: skip
        return events

    same = board_of(many(0.9, 1.2))["synergy-clarity"]
    assert (same.verdict, same.against) == ("undecided", "shuffled inputs: 1.4×")
    assert board_of(many(1.01, 1.2))["synergy-clarity"].verdict == "supported"


@pytest.mark.parametrize(("kind", "verdict"), [("designed", "supported"), ("loaded", "undecided")])
def test_synergy_of_attention_without_a_null_is_not_supported(kind: str, verdict: str) -> None:
    """Of a graph it is a fact; attention of one input has nothing to be shuffled with."""
    events = measured("many", 4, amplification=6.0, inputs=1)
    events[0]["kind_of_run"] = kind
    board = scoreboard(state_of(events))
    lines = {line.claim: line for line in board.lines}
    assert (lines["synergy-clarity"].verdict, lines["synergy-clarity"].ratio) == (verdict, 6.0)
    noted = any("one input cannot be shuffled" in note for note in board.notes)
    assert noted == (kind == "loaded")
    events = measured("many", 4, amplification=0.5, inputs=1)
    events[0]["kind_of_run"] = kind
    assert board_of(events)["synergy-clarity"].verdict == "contradicted"


def seeds(*losses: tuple[int, float, float], **changes: Any) -> list[list[dict[str, Any]]]:
    """Runs of one and of eight heads with these held-out losses, for each seed."""
    runs = []
    for seed, one, many in losses:
        for heads, loss in ((1, one), (4, (one * many) ** 0.5), (8, many)):
            fields = {"loss": loss, "accuracy": 0.5, "eval_sequences": 64}
            events = measured(f"heads-{heads}-{seed}", heads, spread=0.1, **fields)
            events[0] |= {"seed": seed, **changes}
            runs.append(events)
    return runs


def test_runs_of_several_seeds_are_compared_within_each_seed() -> None:
    """Fewest against most heads over all runs would take seed 1's loss of .9 against seed 2's .8,
    and call better what is worse in both.
    """
    found = scoreboard(state_of(*seeds((1, 0.9, 1.8), (2, 0.4, 0.8))))
    assert found.heading.startswith("8 heads against 1, 2 seeds · same batches within each")
    assert found.basis == "95% over 2 seeds"
    learned = next(line for line in found.lines if line.claim == "learned")
    assert learned.ratio == pytest.approx(0.5)
    assert learned.values.startswith("held-out loss .6 → 1.2")
    assert learned.verdict == "contradicted"
    assert found.notes[0].startswith("trend over 1, 4, 8 heads: steps 10, 10, 10")
    assert "loss .6, .849, 1.2" in found.notes[0]


def test_the_interval_over_seeds_is_that_of_their_logarithms() -> None:
    board = board_of(*seeds((1, 0.9, 0.3), (2, 0.4, 0.2), (3, 0.5, 0.4)))
    logs = np.log([3, 2, 1.25])
    half = 4.3027 * logs.std(ddof=1) / 3**0.5
    ends = board["learned"].interval
    assert ends == pytest.approx(tuple(np.exp([logs.mean() - half, logs.mean() + half])), rel=1e-3)
    assert board["learned"].verdict == "undecided"


def test_one_loss_each_has_a_sign_but_decides_nothing() -> None:
    learned = board_of(*seeds((1, 0.9, 0.3)))["learned"]
    assert (learned.verdict, learned.decided, learned.interval) == ("supported", False, None)
    assert board_of(*seeds((1, 0.9, 0.85)))["learned"].verdict == "undecided"


@pytest.mark.parametrize(
    ("errors", "first", "verdict"),
    [
        ((0.02, 0.03), 0.9, "supported"),
        ((0.9, 0.3), 0.9, "undecided"),
        ((0.02, 0.03), 0.2, "undecided"),  # the untrained networks differ by more
    ],
)
def test_held_out_sequences_give_one_loss_each_an_interval(
    errors: tuple[float, float], first: float, verdict: str
) -> None:
    def run(name: str, heads: int, losses: tuple[float, float], error: float) -> list[Any]:
        fields = {"eval_sequences": 1024, "accuracy": 0.5}
        before, after = (
            measured(name, heads, loss=loss, loss_error=size, **fields)
            for loss, size in zip(losses, (0.001, error), strict=True)
        )
        return [*before, {**after[1], "step": 10}]

    board = board_of(run("one", 1, (0.9, 0.9), errors[0]), run("many", 8, (first, 0.3), errors[1]))
    line = board["learned"]
    half = 1.96 * math.hypot(errors[0] / 0.9, errors[1] / 0.3)
    assert line.interval == pytest.approx((3 * math.exp(-half), 3 * math.exp(half)))
    assert line.verdict == verdict
    assert "95% over 1,024 sequences" in line.values


def test_what_is_kept_between_frames_follows_probes_losses_and_failures() -> None:
    """Whatever was asked before, the answer is that of a state that nobody has looked at."""
    runs = [measured("one", 1, fidelity=0.1), measured("many", 8, fidelity=0.2)]
    state = state_of(*runs)
    events: list[dict[str, Any]] = []
    for event in (
        {"kind": "train_step", "run": "one", "step": 1, "loss": 0.9},
        {"kind": "train_step", "run": "many", "step": 1, "loss": 0.5},
        {"kind": "train_step", "run": "many", "step": 2, "loss": 0.1},
        {**measured("many", 8, fidelity=0.3)[1], "step": 3},
        {"kind": "run_failed", "run": "many", "step": 3, "reason": "nan"},
    ):
        before = scoreboard(state)
        assert scoreboard(state) == before
        events.append({"v": 1, "t": 0.0, **event})
        state.apply(events[-1])
        found = scoreboard(state)
        assert found == scoreboard(state_of(*runs, events))
        assert len(events) == 1 or found != before, "one loss alone is not compared"


def test_what_cannot_be_compared_is_said_to_be_none() -> None:
    loaded = measured("loaded", 4, spread=0.1)
    loaded[0] |= {"kind_of_run": "loaded"}
    found = scoreboard(state_of(*seeds((1, 0.9, 0.3)), loaded))
    assert found.heading.startswith("heads-8-1 (8) against heads-1-1 (1)")
    assert any(note.startswith("not compared") and "loaded" in note for note in found.notes)
    other = measured("other", 8, spread=0.1)
    other[0] |= {"seed": 2}
    found = scoreboard(state_of(measured("one", 1, spread=0.1), other))
    assert found.heading.startswith("other (8 heads)")
    assert {line.claim for line in found.lines} == {"synergy-clarity"}


def test_runs_that_differ_in_the_diversity_of_their_heads_only() -> None:
    def run(name: str, diversity: float, fidelity: float, loss: float) -> list[dict[str, Any]]:
        fields = {"loss": loss, "accuracy": 0.5, "eval_sequences": 64}
        gain = 1 + diversity
        events = measured(name, 8, fidelity=fidelity, amplification=gain, spread=0.05, **fields)
        changes = {} if diversity == 1 else {"head_diversity": diversity}
        events[0] |= {"seed": 1, "interventions": changes}
        return events

    runs = [run("same", 0.0, 0.1, 0.9), run("half", 0.5, 0.2, 0.6), run("all", 1, 0.3, 0.3)]
    board = board_of(*runs)
    assert set(board) == {
        "synergy-clarity", "diversity-loss", "diversity-clarity", "diversity-synergy",
    }  # fmt: skip
    assert board["diversity-loss"].ratio == pytest.approx(3)
    assert board["diversity-clarity"].values == "φ .1 → .3"
    assert board["diversity-synergy"].ratio == pytest.approx(2)
    assert board["diversity-synergy"].verdict == "supported"
    # What lies between the ends is part of the comparison, not left out of it.
    assert not any("not compared" in note for note in scoreboard(state_of(*runs)).notes)


@pytest.mark.parametrize(
    ("before", "null", "verdict"), [(1.5, "1.5×", "supported"), (3.0, "3×", "undecided")]
)
def test_the_gain_along_diversity_stands_beside_the_untrained_networks(
    before: float, null: str, verdict: str
) -> None:
    def run(name: str, diversity: float, first: float, last: float) -> list[dict[str, Any]]:
        events = measured(name, 8, amplification=first, spread=0.05)
        events[0] |= {"seed": 1, "interventions": {"head_diversity": diversity}}
        after = measured(name, 8, amplification=last, spread=0.05)[1]
        return [*events, {**after, "step": 10}]

    board = board_of(run("alike", 0.0, 1.0, 1.0), run("apart", 1.0, before, 2.0))
    line = board["diversity-synergy"]
    assert line.ratio == pytest.approx(2)
    assert line.against == f"untrained: {null}"
    assert line.verdict == verdict


def test_another_convention_that_says_the_opposite_is_in_a_line() -> None:
    def other(value: float) -> dict[str, Any]:
        return {
            "paper-code": {"mixing": {"hitting_time_mean": 4.0}, "fidelity": {"minimax": value}}
        }

    one = measured("one", 1, fidelity=0.6, conventions=other(0.001))
    many = measured("many", 8, fidelity=0.2, conventions=other(0.004))
    found = scoreboard(state_of(one, many))
    assert found.notes[0] == "but paper-code points the other way: clearer 4×"
    assert "paper-code: sooner 1×" in found.notes
    clearer = measured("many", 8, fidelity=0.9, conventions=other(0.1))
    assert "paper-code, same direction: clearer 100×" in scoreboard(state_of(one, clearer)).notes
    chosen = board_of(one, many, convention=Convention("paper-code"))
    assert chosen["clearer"].ratio == pytest.approx(4)


def test_conventions_inputs_and_parameters_are_named() -> None:
    many = measured("many", 8)
    many[0]["parameters"] = 200
    found = scoreboard(state_of(measured("one", 1), many))
    assert found.convention == "theory"
    assert found.measured == "walks, sink excluded, learned head weights"
    assert found.basis == "these two networks; 95% over 16 inputs"
    assert "parameters differ: 200 and 100" in found.heading
    assert scoreboard(state_of(measured("one", 1, inputs=1))).lines == []


def test_a_mixture_that_is_slower_than_its_best_head_is_contradicted() -> None:
    """Example 2: 17/7 steps together, 17/8 with head 2 alone; clearer than either head."""
    found = scoreboard(ExperimentState.read(recording("example2") / "events.jsonl"))
    board = {line.claim: line for line in found.lines}
    speed, clarity = board["synergy-speed"], board["synergy-clarity"]
    assert (speed.verdict, speed.decided) == ("contradicted", True)
    assert speed.values.startswith("17/8 → 17/7 steps")
    assert speed.ratio == pytest.approx(7 / 8)
    assert (clarity.verdict, clarity.values) == ("supported", "φ 3/8 → 5/12, best head → all")
    assert found.basis == "1 input, exact"
    assert "✘ synergy, speed .875×" in found.line


def test_the_verdict_at_an_earlier_step_is_what_was_known_then() -> None:
    state = ExperimentState.read(recording("sort") / "events.jsonl")
    assert scoreboard(state, 0).line != scoreboard(state).line
    assert scoreboard(state, state.step).line == scoreboard(state).line
    assert not any(line.against for line in scoreboard(state, 0).lines[:2]), "now is untrained"


def test_layers_are_compared_when_chosen() -> None:
    state = ExperimentState.read(recording("four") / "events.jsonl")
    whole, first = scoreboard(state), scoreboard(state, layer=1)
    assert (whole.convention, first.convention) == (
        "theory · mean of 2 layers", "theory · layer 1",
    )  # fmt: skip
    steps = metric(state.runs["heads-8"], "layer1.hitting_time")
    assert f"→ {comparison.number(float(steps))} steps" in first.lines[0].values  # type: ignore[arg-type]
    assert first.lines[0].ratio != whole.lines[0].ratio


def test_a_failed_run_comes_first() -> None:
    found = scoreboard(ExperimentState.read(recording("failed") / "events.jsonl"))
    assert found.line.startswith("diverges failed: the loss became nan")
    assert "steady" in found.heading


@pytest.mark.parametrize("other", [math.nan, math.inf, -math.inf, -1.0, 0.0, 1e308])
@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 0.0, 1e308])
def test_numbers_without_a_logarithm_decide_nothing(value: float, other: float) -> None:
    events = measured("many", 8, hitting=value, fidelity=other, amplification=value)
    analysis = events[1]["overall"]
    analysis["per_input"] = {"log_fidelity": [value, other], "log_hitting_time": [other, value]}
    shuffled = {"fidelity_amplification": value, "beyond": {"fidelity_amplification": [value] * 2}}
    analysis["nulls"] = {"shuffled": shuffled}
    analysis["synergy"]["hitting_gain"] = other
    events[0]["interventions"] = {"head_diversity": "much"}
    for line in scoreboard(state_of(measured("one", 1), events)).lines:
        assert line.text
        assert not (line.decided and math.isnan(line.ratio))


def test_the_first_probe_outlives_those_that_become_history() -> None:
    """What commands keep in memory still has the null that the verdict needs."""
    log = recording("sort") / "events.jsonl"
    assert (
        scoreboard(ExperimentState.read(log, outline)).line
        == scoreboard(ExperimentState.read(log)).line
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5 / 12, "5/12"), (0.4166, ".417"), (3.0, "3"), (math.pi, "3.14"), (1234567.0, "1.2e6"),
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
    assert scoreboard(state).lines[-1].values == "held-out loss .25 → .125"
    assert (metric(one, "loss"), metric(one, "accuracy")) == (0.25, 0.75)
    assert (metric(one, "training_loss"), metric(one, "training_accuracy")) == (0.5, 0.9)
    record = run_record(one)
    assert (record["loss"], record["accuracy"], record["loss_of"]) == (0.25, 0.75, "held-out")

    state = state_of(learned("one", 1, 0.25, 0), learned("many", 8, 0.125, 0))
    one = state.runs["one"]
    assert scoreboard(state).lines[-1].values == "training loss .5 → .5"
    assert (metric(one, "loss"), metric(one, "held_out_loss")) == (0.5, 0.25)
    assert run_record(one)["loss_of"] == "training"


def test_the_loss_without_a_head_is_a_number_of_that_head() -> None:
    events = measured("one", 1)
    events[1]["layers"][0]["per_head"][0]["loss_without"] = 1.5
    run = state_of(events).runs["one"]
    assert metric(run, "layer1.head1.loss_without") == metric(run, "head1.loss_without") == 1.5
    with pytest.raises(UndecidedError):
        metric(state_of(measured("two", 1)).runs["two"], "head1.loss_without")
