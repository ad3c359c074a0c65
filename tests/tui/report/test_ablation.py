"""Removing heads of trained runs, and permutation tests, against slow obvious references."""

from __future__ import annotations

import itertools
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import synergy_engine as engine
from synergy_tui.errors import UserError
from synergy_tui.experiments.attention import Snapshot
from synergy_tui.experiments.events import EventReader
from synergy_tui.report import ablation
from synergy_tui.report.ablation import Network, ablated, relation
from synergy_tui.report.evidence import Evidence, Row, collect
from synergy_tui.sweep.directory import Sweep


@pytest.fixture(scope="module")
def evidence(ablated_sweep: Sweep) -> Evidence:
    return collect([str(ablated_sweep.path)])


def recorded(row: Row) -> list[list[float]]:
    """The losses without each head, (L, H), of the run's last probe."""
    path = row.place.experiment.events_path
    probes = [
        event
        for event in EventReader(path).read_all()
        if event["kind"] == "probe" and event["run"] == row.run
    ]
    return [[head["loss_without"] for head in layer["per_head"]] for layer in probes[-1]["layers"]]


def network(share: Any, cost: Any, weight: Any = None) -> Network:
    share, cost = np.array(share, dtype=float), np.array(cost, dtype=float)
    weight = np.full(len(share), 1 / len(share)) if weight is None else np.array(weight)
    return Network("g", "r", len(share), "seed 0", 1, 1.0, weight, share, 4, cost, cost)


def test_costs_are_those_that_training_recorded(evidence: Evidence) -> None:
    """The trainer's own ablation at the last probe, of the same sequences: another way."""
    found = list(ablated(evidence.rows))
    assert [(each.run, each.heads, each.layer) for each in found] == [
        ("heads-2", 2, layer) for _ in range(2) for layer in (1, 2)
    ]
    several = [row for row in evidence.rows if row.heads == 2]
    for row, layers in zip(several, (found[:2], found[2:]), strict=True):
        probe = row.place.experiment.fold().runs[row.run].probe
        assert probe is not None
        for each, without in zip(layers, recorded(row), strict=True):
            assert each.loss == pytest.approx(probe.loss, abs=1e-6)
            assert each.zero + each.loss == pytest.approx(np.array(without), abs=1e-6)


def test_shares_are_means_of_the_engines_over_the_probes_inputs(evidence: Evidence) -> None:
    found = [each for each in ablated(evidence.rows) if each.seed == "seed 1"]
    (row,) = [
        row
        for row in evidence.rows
        if row.heads == 2 and row.observations["theory"].block == "seed 1"
    ]
    snapshot = row.place.load()
    assert isinstance(snapshot, Snapshot)
    for each in found:
        wanted = [
            engine.sensitivity(snapshot.system(each.layer - 1, place)).carriage
            for place in range(3)
        ]
        assert each.inputs == 3
        assert each.share == pytest.approx(np.mean(wanted, axis=0), abs=1e-5)
        assert each.weight == pytest.approx(snapshot.head_weights[each.layer - 1])


def test_p_values_are_those_of_all_permutations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ablation, "DRAWS", 40_000)
    share, cost, weight = [0.1, 0.2, 0.3, 0.4], [1.0, 5.0, 2.0, 9.0], np.array([0.1, 0.4, 0.3, 0.2])
    for kept in (False, True):
        scale = weight if kept else np.ones(4)
        ratio = np.array(share) / scale
        every = [
            stats.spearmanr(scale * ratio[list(order)], cost).statistic
            for order in itertools.permutations(range(4))
        ]
        own, centre = stats.spearmanr(share, cost).statistic, np.mean(every)
        above, below = np.mean(every >= own - 1e-9), np.mean(every <= own + 1e-9)
        found = relation([network(share, cost, weight)], "zero", keep_weights=kept)
        assert found.correlation == pytest.approx(own)
        assert found.shuffled == pytest.approx(centre, abs=0.01)
        assert found.p == pytest.approx(min(1.0, 2 * above, 2 * below), abs=0.02)


def test_the_test_keeps_its_level_and_sees_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs made by the weights alone say nothing of shares beyond them."""
    monkeypatch.setattr(ablation, "DRAWS", 2_000)  # p of .001 and above
    random = np.random.default_rng(3)

    def drawn(gain: float) -> list[Network]:
        found = []
        for _ in range(12):
            weight = random.dirichlet(np.full(8, 3.0))
            ratio = random.exponential(size=8)
            share = weight * ratio / (weight @ ratio)
            cost = weight * ratio**gain * np.exp(0.1 * random.normal(size=8))
            found.append(network(share, cost, weight))
        return found

    rejected = [relation(drawn(0.0), "zero", keep_weights=True).p < 0.05 for _ in range(60)]
    assert np.mean(rejected) <= 0.15  # .05 expected; .15 or more has probability .002
    by_weight = relation(drawn(0.0), "zero")
    assert by_weight.p < 0.05
    assert relation(drawn(1.0), "zero", keep_weights=True).p < 0.001


def test_networks_that_say_nothing_are_left_out() -> None:
    plain = network([0.4, 0.6], [1.0, 2.0])
    unheard = network([math.nan, math.nan], [1.0, 2.0])
    alike = network([0.5, 0.5], [1.0, 2.0])
    assert relation([plain, unheard, alike], "mean").networks == 1
    nothing = relation([unheard], "mean")
    assert nothing.networks == 0
    assert math.isnan(nothing.p)


def test_a_missing_checkpoint_and_nothing_to_ablate_are_said(
    ablated_sweep: Sweep, tmp_path: Path
) -> None:
    copied = shutil.copytree(ablated_sweep.path, tmp_path / "sweep")
    rows = collect([str(copied)]).rows
    with pytest.raises(UserError, match="no trained run of several heads"):
        list(ablated([row for row in rows if row.heads == 1]))
    for file in copied.glob("points/*/checkpoints/*"):
        file.unlink()
    with pytest.raises(UserError, match="no checkpoint of heads-2"):
        list(ablated(rows))
