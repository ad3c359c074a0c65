"""Layers in order and the condition, of kept attention, against the engine and closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import synergy_engine as engine
from synergy_tui.errors import UserError
from synergy_tui.experiments.attention import Snapshot
from synergy_tui.report.evidence import Row
from synergy_tui.report.further import promises, sinks_in_turn, through_layers
from synergy_tui.report.nulls import NOT_KEPT
from synergy_tui.report.statistics.observations import Numbers, Observation
from tests.tui.report.test_nulls import Kept

# Example 2 of the paper: u, v, w and the sink; uniform weights gain 10/9.
FIRST = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
SECOND = [[1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1]]
DEAF = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]]


def row(heads: Any, *, gamma: Any = None, designed: bool = True, weights: Any = None) -> Row:
    attention = np.array(heads, dtype=float)
    attention = attention.reshape(-1, *attention.shape[-4:])
    shares = np.full(attention.shape[1:3], 1 / attention.shape[2]) if weights is None else weights
    kept = Snapshot("k", attention, np.array(shares), designed=designed, gamma=gamma)
    seen = Observation("g", "seed 4", kept.heads, "r", Numbers(3.0, 0.2), amplification=1.5)
    return Row("g", "r", kept.heads, kept.nodes, None, Kept(kept), {"theory": seen},
               np.zeros(0, np.int64), np.zeros(0), math.nan)  # fmt: skip


def test_the_condition_stands_beside_what_weights_gain() -> None:
    """Example 2: head 1 alone 3/8, together 5/12, and no weights exceed 1/2."""
    (found,) = promises([row([[FIRST, SECOND]])])
    assert found.verdict == "helps"
    assert found.best_head == pytest.approx(3 / 8)
    assert found.gain == pytest.approx(10 / 9)
    assert found.at_most == pytest.approx(4 / 3)
    assert (found.seed, found.layer, found.input) == ("seed 4", 1, 1)


def test_identical_heads_can_gain_nothing_and_deaf_ones_are_not_a_tie() -> None:
    (alike,) = promises([row([[FIRST, FIRST]])])
    assert (alike.verdict, alike.gain) == ("forbidden", pytest.approx(1.0))
    (deaf,) = promises([row([[DEAF, DEAF]])])
    assert deaf.verdict == "unheard"
    assert math.isnan(deaf.gain)


def test_a_node_that_each_head_alone_loses_is_an_infinite_gain() -> None:
    one = [[1, 0, 0], [0, 1, 0], [1, 0, 1]]
    other = [[1, 0, 0], [0, 1, 0], [0, 1, 1]]
    (found,) = promises([row([[one, other]])])
    assert found.gain == math.inf
    assert found.verdict == "helps"


def test_layers_in_order_are_the_engines_with_every_gamma_that_is_known() -> None:
    both = [np.array(head) / np.sum(head, axis=1, keepdims=True) for head in (FIRST, SECOND)]
    network = row([both, both], designed=False)
    half, one = through_layers([network])
    assert (half.gamma, one.gamma, half.seed) == ("half", "one", "seed 4")
    assert half.normalised == pytest.approx(4 / 36)  # node u, by hand
    assert one.normalised == pytest.approx(4 / 9)
    assert half.synergy == pytest.approx(2 / 3)
    assert half.exact
    assert (half.single_fidelity, half.single_gain) == (0.2, 1.5)
    gamma = np.full((1, 2, 4), 0.3)
    measured = list(through_layers([row([both, both], designed=False, gamma=gamma)]))[2]
    assert measured.gamma == "norm"
    wanted = engine.layered_fidelity(np.array([both, both]), gamma=0.3)
    assert measured.normalised == pytest.approx(float(wanted.normalised))


def test_sinks_in_turn_are_the_fidelities_of_what_comes_before_each() -> None:
    both = [np.array(head) / np.sum(head, axis=1, keepdims=True) for head in (FIRST, SECOND)]
    (found,) = sinks_in_turn([row([both], designed=False)], 2)
    whole = engine.fidelity(engine.MultiHeadSystem.from_attention(np.array(both))).minimax
    cut = engine.MultiHeadSystem.from_attention(np.array(both)[:, :3, :3])
    assert (found.k, found.layer, found.seed) == (2, 1, "seed 4")
    assert found.normalised == pytest.approx(4 * whole)
    assert found.normalised_each == pytest.approx(
        (4 * whole + 3 * engine.fidelity(cut).minimax) / 2
    )
    assert found.gain == pytest.approx(10 / 9)
    alone = max(
        engine.fidelity(engine.MultiHeadSystem.from_attention(np.array([head])[:, :3, :3])).minimax
        for head in both
    )
    assert found.gain_each == pytest.approx(
        math.sqrt(10 / 9 * engine.fidelity(cut).minimax / alone)
    )
    with pytest.raises(UserError, match="only networks"):
        list(sinks_in_turn([row([both])], 2))


def test_what_was_not_kept_is_said() -> None:
    nothing = row([[FIRST, SECOND]])
    object.__setattr__(nothing.place, "snapshot", NOT_KEPT)
    with pytest.raises(UserError, match="was not kept"):
        list(promises([nothing]))
