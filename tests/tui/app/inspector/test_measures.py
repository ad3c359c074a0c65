"""What the inspector asks of the engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import synergy_engine as engine
from synergy_tui.app.inspector.measures import Bench, Question, arrivals, mixture
from synergy_tui.errors import UserError
from synergy_tui.experiments.attention import Snapshot, load_snapshot
from synergy_tui.experiments.experiment import Experiment
from tests.recordings import recording
from tests.tui.app.heads import EXAMPLE2, NAMES, patterns, write_designed, write_trained


def designed(heads: np.ndarray = EXAMPLE2) -> Snapshot:
    weights = np.full((1, heads.shape[0]), 1.0 / heads.shape[0])
    return Snapshot("x", heads[None, None], weights, None, NAMES, designed=True)


def trained(heads: int = 4, nodes: int = 13) -> Snapshot:
    weights = np.linspace(2, 1, heads)[None] / np.linspace(2, 1, heads).sum()
    return Snapshot("x", patterns(heads, nodes)[None, None], weights)


def test_example_2_measures_as_in_the_paper() -> None:
    answer = Bench(designed()).answer(Question(source=0))
    assert [head.fidelity for head in answer.figures] == pytest.approx([3 / 8, 1 / 4])
    assert answer.before.fidelity == pytest.approx(5 / 12)
    assert answer.before.amplification == pytest.approx((5 / 12) / (3 / 8))
    assert answer.before.weakest == 2
    assert answer.after is None
    assert answer.paths[0].nodes[0] == 0
    assert answer.paths[0].nodes[-1] == 3
    assert 0 < answer.cross_head <= 1
    assert answer.mixed == pytest.approx(engine.diffusion(designed().system()))


def test_identical_heads_amplify_exactly_nothing() -> None:
    same = np.repeat(EXAMPLE2[:1], 3, axis=0)
    answer = Bench(designed(same)).answer(Question())
    assert answer.before.amplification == 1.0
    assert [head.diversity for head in answer.figures] == [0.0, 0.0, 0.0]
    assert answer.novel == 0.0


def test_switching_heads_off_measures_what_is_left() -> None:
    snapshot = trained()
    bench = Bench(snapshot)
    whole = bench.answer(Question(source=3))
    without = bench.answer(Question(source=3, off=frozenset({0, 2})))
    left = snapshot.system().subset([1, 3])
    assert without.before is whole.before
    assert without.after is not None
    assert without.after.fidelity == pytest.approx(engine.fidelity(left).minimax)
    assert without.after.steps == pytest.approx(engine.hitting_times(left).mean())
    assert without.now is without.after
    assert without.mixed == pytest.approx(engine.diffusion(left))
    assert {head for path in without.paths for head in path.heads} <= {1, 3}
    assert without.arrival_after is not None
    assert len(without.arrival_after) == len(without.arrival_before)


def test_figures_of_a_head_are_those_of_the_head_alone() -> None:
    snapshot = trained()
    figures = Bench(snapshot).answer(Question()).figures
    alone = snapshot.system().head(2)
    assert figures[2].steps == pytest.approx(engine.hitting_times(alone).mean())
    assert figures[2].fidelity == pytest.approx(engine.fidelity(alone).minimax)
    assert figures[2].weight == pytest.approx(snapshot.head_weights[0, 2])
    mean = np.mean([each.diversity for each in figures])
    assert mean == pytest.approx(engine.diversity(snapshot.system()).jensen_shannon)


def test_arrival_goes_on_until_the_mixture_has_arrived() -> None:
    system = trained().system()
    alone, mixed = arrivals(system, 3)
    assert alone.shape == (4, len(mixed))
    assert mixed[-1] >= 0.99
    assert mixed == pytest.approx(engine.arrival(system, len(mixed) - 1)[:, 3])
    assert alone[1] == pytest.approx(engine.arrival(system.head(1), len(mixed) - 1)[:, 3])


def test_what_never_arrives_is_shown_for_a_bounded_time() -> None:
    split = engine.MultiHeadSystem.from_edges(
        [[(0, 1)], [(0, 1), (1, 2)]], nodes=3, weights=[1.0, 1e-9]
    )
    _, mixed = arrivals(split, 1)
    assert mixed[-1] < 0.99
    assert len(mixed) == 1025
    assert np.isfinite(mixture(split).steps)


def test_all_heads_off_is_refused_in_words() -> None:
    with pytest.raises(UserError, match="nothing is left"):
        Bench(trained()).answer(Question(off=frozenset(range(4))))


def test_snapshots_are_read_with_names_and_rows(tmp_path: Path) -> None:
    experiment = write_designed(tmp_path / "designed")
    snapshot = load_snapshot(experiment, "attention/both-designed.safetensors")
    assert snapshot.names == NAMES
    assert snapshot.designed
    assert snapshot.name(3) == "τ"
    other = write_trained(tmp_path / "trained", heads=3, nodes=9)
    snapshot = load_snapshot(other, "attention/multi-head-00000020.safetensors")
    assert (snapshot.inputs, snapshot.layers, snapshot.heads, snapshot.nodes) == (3, 2, 3, 9)
    assert not snapshot.designed
    assert snapshot.name(3) == "3"


def test_recorded_attention_measures_as_its_event_says() -> None:
    experiment = Experiment(recording("example2"))
    probe = experiment.fold().runs["both"].probe
    assert probe is not None
    assert probe.attention is not None
    snapshot = load_snapshot(experiment, probe.attention)
    answer = Bench(snapshot).answer(Question())
    recorded = probe.layers[0]
    assert answer.before.fidelity == pytest.approx(recorded["fidelity"]["minimax"])
    assert answer.before.steps == pytest.approx(recorded["mixing"]["hitting_time_mean"])
    for each, head in zip(recorded["per_head"], answer.figures, strict=True):
        assert head.fidelity == pytest.approx(each["fidelity_minimax"])
        assert head.steps == pytest.approx(each["hitting_time_mean"])


def test_damaged_files_are_named(tmp_path: Path) -> None:
    experiment = write_trained(tmp_path / "trained", heads=2, nodes=5)
    path = experiment.path / "attention/multi-head-00000020.safetensors"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match="multi-head-00000020"):
        load_snapshot(experiment, "attention/multi-head-00000020.safetensors")
    save_file({"attention": np.zeros((2, 2), dtype=np.float32)}, path)
    with pytest.raises(UserError, match="contains no attention"):
        load_snapshot(experiment, "attention/multi-head-00000020.safetensors")


def test_answers_do_not_depend_on_the_order_of_questions() -> None:
    first, second = Bench(trained()), Bench(trained())
    asked = Question(source=2, off=frozenset({1}))
    first.answer(Question())
    one = first.answer(asked)
    two = second.answer(asked)
    assert one.after is not None
    assert two.after is not None
    assert one.after.fidelity == two.after.fidelity
    assert one.before.fidelity == two.before.fidelity
    assert [path.nodes for path in one.paths] == [path.nodes for path in two.paths]
