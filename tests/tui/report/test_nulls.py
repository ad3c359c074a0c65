"""Nulls of kept attention, against the engine's own and against closed forms."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import synergy_engine as engine
from synergy_engine.analysis import nulls
from synergy_tui.claims import BY_ID
from synergy_tui.experiments.attention import Snapshot
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.report.document import compose, findings_of, records
from synergy_tui.report.evidence import gather
from synergy_tui.report.nulls import SWAPS, Place, with_nulls
from synergy_tui.report.statistics.observations import Numbers, Observation
from synergy_tui.report.write import write_report
from tests.tui.conftest import make, run_here
from tests.tui.recorded_sweeps import numbers, record

SEEDS, INPUTS, HEADS, NODES = 4, 6, 3, 7


def attention(seed: int, sharpness: float = 2.0) -> np.ndarray:
    logits = sharpness * np.random.default_rng(seed).normal(size=(INPUTS, 1, HEADS, NODES, NODES))
    weights = np.where(np.tri(NODES, dtype=bool), np.exp(logits), 0.0)
    return weights / weights.sum(axis=-1, keepdims=True)


class Kept(Place):
    """A place whose attention was given."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(Experiment("unused"), None)
        object.__setattr__(self, "snapshot", snapshot)

    def load(self) -> Snapshot:
        found: Snapshot = self.snapshot  # type: ignore[attr-defined]
        return found


def one_run(seed: int) -> dict[str, Observation]:
    now = Numbers(3.0, 0.1)
    return {"theory": Observation("sort", f"seed {seed}", HEADS, "heads-3", now)}


def measured(tokens: Any = None) -> list[Observation]:
    weights = np.array([[0.5, 0.3, 0.2]])
    rows: list[tuple[Place, dict[str, Observation]]] = [
        (Kept(Snapshot(f"r-{s}", attention(s), weights, tokens and tokens(s))), one_run(s))
        for s in range(SEEDS)
    ]
    return [each["theory"] for each in with_nulls(rows)]


def test_swapped_heads_are_those_of_the_engine() -> None:
    """Joint over swapped fidelity is the same log ratio, from two ways of computing it."""
    stack = np.stack([attention(seed)[:, 0] for seed in range(SEEDS)])
    weights = np.array([0.5, 0.3, 0.2])
    expected = nulls.swap(stack, weights, swaps=SWAPS, seed=0).mean(axis=1)
    alone = np.array([[best_alone(stack[s, b]) for b in range(INPUTS)] for s in range(SEEDS)])
    for seed, one in enumerate(measured()):
        assert one.gains is not None
        assert one.gains.clear_swapped is not None
        own = one.gains.clear.per_input + np.log(alone[seed]).mean()
        swapped = one.gains.clear_swapped.per_input + swapped_best(stack, seed)
        assert own - swapped == pytest.approx(expected[seed], abs=1e-9)


def best_alone(heads: np.ndarray) -> float:
    return max(fidelity_of(head[None], [1.0]) for head in heads)


def fidelity_of(heads: np.ndarray, weights: Any) -> float:
    system = engine.MultiHeadSystem.from_attention(heads, weights)
    return engine.fidelity(system).minimax


def swapped_best(stack: np.ndarray, seed: int) -> float:
    """Mean log of the best of the swapped heads, over draws and inputs."""
    random = np.random.default_rng(0)
    logs = []
    for _ in range(SWAPS):
        away = nulls.offsets(HEADS, SEEDS, random)
        for b in range(INPUTS):
            heads = np.stack([stack[(seed + a) % SEEDS, b, h] for h, a in enumerate(away)])
            logs.append(math.log(best_alone(heads)))
    return float(np.mean(logs))


def test_the_best_head_is_chosen_on_other_inputs() -> None:
    (found,) = (one.gains for one in measured()[:1])
    assert found is not None
    (analysis,) = engine.analyze_batch(attention(0), [[0.5, 0.3, 0.2]])
    synergy = analysis["synergy"]
    assert math.exp(found.clear.per_input) == pytest.approx(synergy["fidelity_amplification"])
    held_out = synergy["fidelity_amplification_held_out"]
    assert math.exp(found.clear.held_out) == pytest.approx(held_out)
    assert found.soon is not None
    assert math.exp(found.soon.per_input) == pytest.approx(synergy["hitting_gain"])


def test_heads_are_swapped_on_common_inputs_only() -> None:
    common = measured(lambda _: np.arange(INPUTS * NODES).reshape(INPUTS, NODES))
    assert all(one.gains and one.gains.clear_swapped for one in common)
    assert {one.no_swap for one in common} == {""}
    other = measured(lambda s: s + np.arange(INPUTS * NODES).reshape(INPUTS, NODES))
    assert all(one.gains and one.gains.clear_swapped is None for one in other)
    assert {one.no_swap for one in other} == {"seeds saw different inputs: give train.probe_stream"}


def test_what_was_not_kept_is_named() -> None:
    ((one),) = with_nulls([(Place(Experiment("unused"), None), one_run(0))])
    assert "kept_inputs" in one["theory"].unkept
    lost = Place(Experiment("unused"), "attention/gone.safetensors")
    ((one),) = with_nulls([(lost, one_run(0))])
    assert "cannot be read" in one["theory"].unkept


def test_a_report_says_what_it_cannot_test_without_attention(tmp_path: Path) -> None:
    """The claims of kept attention are named with a reason; the others are decided as before."""
    (tmp_path / "kept").mkdir()
    (tmp_path / "not").mkdir()
    kept = compose(gather([str(record(tmp_path / "kept").path)]), command="")
    sweep = record(tmp_path / "not", keep=False)
    evidence = gather([str(sweep.path)])
    found = compose(evidence, command="")
    needing = {"synergy-clarity", "synergy-speed", "condition", "identical-heads"}
    assert kept.untested == {}
    assert found.findings.keys() == kept.findings.keys()
    for claim, own in found.findings.items():
        outcomes = {each.outcome for each in own}
        if claim in needing:
            assert outcomes == {"undecided (not measured)"}
        else:
            assert "undecided (not measured)" not in outcomes
    [(claims, reason)] = found.untested.items()
    assert all(BY_ID[claim].label in claims for claim in needing)
    assert "kept_inputs" in reason
    assert found.tests["theory"] == kept.tests["theory"] - 12  # 2 claims, 2 groups, 3 head counts
    assert {each["claim"] for each in records(evidence) if each["missing"]} == needing
    page = tmp_path / "report.html"
    write_report(found, page)
    for text in (page.read_text(), page.with_suffix(".md").read_text()):
        assert "Not among these tests: synergy, clarity (" in text


def test_conditions_and_the_jittered_control_are_taken_of_it() -> None:
    for one in measured():
        assert 0 < one.jitter < 1e-7
        assert one.condition is not None
        assert one.condition.promised == one.condition.kept
        assert one.condition.broken == 0


def test_k_heads_stand_beside_all_choices_of_k_of_the_larger_network() -> None:
    """Against fidelities one by one: three choices of two of three heads."""
    few = attention(9)[:, :, :2]
    weights = np.array([0.5, 0.3, 0.2])
    whole = Kept(Snapshot("whole", attention(0), weights[None]))
    part = Kept(Snapshot("part", few, np.array([[0.6, 0.4]])))
    two = {"theory": replace(one_run(0)["theory"], heads=2, run="heads-2")}
    found = with_nulls([(whole, one_run(0)), (part, two)])
    assert found[0]["theory"].further == ()
    (further,) = found[1]["theory"].further
    assert (further.name, further.required) == ("2 of the 3 heads of a larger network", False)
    expected = []
    for b in range(INPUTS):
        trained = math.log(fidelity_of(few[b, 0], [0.6, 0.4]))
        for pair in ([0, 1], [0, 2], [1, 2]):
            share = weights[pair] / weights[pair].sum()
            expected.append(trained - math.log(fidelity_of(attention(0)[b, 0][pair], share)))
    assert further.clear == pytest.approx(np.mean(expected), abs=1e-9)


def test_k_heads_are_compared_within_a_seed_and_on_its_inputs() -> None:
    weights = np.full((1, HEADS), 1 / HEADS)
    tokens = np.arange(INPUTS * NODES).reshape(INPUTS, NODES)
    two = {"theory": replace(one_run(0)["theory"], heads=2, run="heads-2")}
    for block, inputs, count in (
        ("seed 0", tokens, 1),
        ("seed 0", tokens + 1, 0),
        ("b", tokens, 0),
    ):
        few = Snapshot("part", attention(9)[:, :, :2], weights[:, :2], inputs)
        whole = Snapshot("whole", attention(0), weights, tokens)
        other = {"theory": replace(two["theory"], block=block)}
        found = with_nulls([(Kept(whole), one_run(0)), (Kept(few), other)])
        assert len(found[1]["theory"].further) == count


def test_nulls_of_events_are_taken_beside_the_untrained_network(tmp_path: Path) -> None:
    evidence = gather([str(record(tmp_path).path)])
    (row,) = [
        row for row in evidence.rows if (row.group, row.run) == ("sort", "heads-8") and
        row.observations["theory"].block == "seed 3"
    ]  # fmt: skip
    gain = numbers("sort", 3, 8)["fidelity_amplification"]
    nulls = {each.name: each for each in row.observations["theory"].further}
    assert nulls["shuffled inputs"].clear == pytest.approx(math.log(gain / 1.05))
    assert nulls["the untrained network"].clear == pytest.approx(math.log(gain / 1.1))
    assert all(each.soon == 0.0 for each in nulls.values())


REDRAWN = """
title = "Heads redrawn"
[[runs]]
name = "redrawn"
heads = 4
graph = { topology = "funsearch", nodes = 12 }
[sweep]
seeds = 3
topologies = ["funsearch"]
diversity = [0.0, 0.5, 1.0]
compare = "diversity"
"""


def test_designed_heads_along_what_is_redrawn(tmp_path: Path) -> None:
    """Against graphs drawn again and measured one by one."""
    sweep = make(REDRAWN, tmp_path)
    assert run_here(sweep) == 0
    found = {each.claim: each for each in findings_of(gather([str(sweep.path)]))}
    rises = {"diversity-clarity": [], "diversity-synergy": []}
    for seed in range(3):
        clear, gain = [], []
        for share in (0.0, 0.5, 1.0):
            system = engine.topology("funsearch", 12, heads=4, seed=seed, diversity=share)
            alone = [engine.fidelity(system.head(head)).minimax for head in range(4)]
            clear.append(math.log(engine.fidelity(system).minimax))
            gain.append(clear[-1] - math.log(max(alone)))
        # The least-squares line over three equally spaced values is the line of the ends.
        rises["diversity-clarity"].append(clear[-1] - clear[0])
        rises["diversity-synergy"].append(gain[-1] - gain[0])
    for claim, logs in rises.items():
        assert found[claim].ratio == pytest.approx(math.exp(np.mean(logs)), rel=1e-6)
        assert found[claim].null == pytest.approx(1.0, abs=1e-7)


UNTRAINED = """
title = "Untrained"
[train]
task = "sort"
length = 17
vocabulary = 8
steps = 1
batch = 8
embed = 32
mlp = 32
layers = 1
learning_rate = 1e-9
eval_sequences = 64
probe_stream = 999
checkpoint_every = 0
[analysis]
also = ["paper-code", "feedforward"]
kept_inputs = 16
[sweep]
seeds = {seeds}
tasks = ["sort", "offset_sum", "copy"]
heads = [1, 2, 4]
[[sweep.predict]]
claim = "clearer"
outcome = "no effect"
why = "nothing is learned"
"""


@pytest.mark.slow
@pytest.mark.parametrize("seeds", ["[0, 1, 2, 3, 4, 5]", "[50, 51, 52, 53, 54, 55]"])
def test_untrained_networks_support_nothing(seeds: str, tmp_path: Path) -> None:
    """The sweep that misled an earlier report: fidelity rises with heads, by averaging alone."""
    sweep = make(UNTRAINED.format(seeds=seeds), tmp_path)
    run_here(sweep)
    evidence = gather([str(sweep.path)])
    found = findings_of(evidence)
    claims = [each for each in found if each.about.kind != "check"]
    assert not [each for each in claims if each.verdict in ("supported", "contradicted")]
    clearer = [each for each in claims if each.claim == "clearer"]
    assert {(each.group, each.convention) for each in clearer} == {
        (task, convention)
        for task in ("sort", "offset sum", "copy")
        for convention in ("theory", "paper-code", "feedforward")
    }
    assert {each.verdict for each in clearer} == {"no effect"}
    assert max(each.measured for each in clearer) > 1.1
    assert {each.verdict for each in found if each.about.kind == "check"} == {"supported"}
    assert {each["predicted"] for each in records(evidence) if each["claim"] == "clearer"} == {
        "no effect"
    }
    assert all(foretold.before for foretold in evidence.predictions)
