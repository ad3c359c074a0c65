"""Sparse heads: valid by construction, checked on request."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from synergy_engine.errors import EngineError, TooLargeError
from synergy_engine.sparse import SparseHead, head_from_edges
from synergy_engine.topologies.topology import topology
from tests.engine.systems import gappy_heads


@settings(deadline=None, max_examples=60)
@given(gappy_heads())
def test_a_head_survives_every_form(weights: np.ndarray) -> None:
    for each in weights:
        head = SparseHead.from_dense(each).check()
        assert np.array_equal(head.to_array(), each)
        assert np.array_equal(SparseHead.from_scipy(head.to_scipy()).to_array(), each)


def test_edges_given_twice_add_up_and_zeros_are_dropped() -> None:
    table = np.array([[0, 1, 0.5], [0, 1, 0.25], [0, 2, 0.0], [1, 2, 1.0]])
    senders, receivers, weights = table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2]
    head = head_from_edges(senders, receivers, weights, 3, self_loops="add")
    assert head.to_array().tolist() == [[1, 0, 0], [0.75, 1, 0], [0, 1, 1]]
    assert head_from_edges(senders[3:], receivers[3:], weights[3:], 3).weights is None
    twice = SparseHead.from_edges([0, 0], [1, 1], 2, self_loops="keep")
    assert twice.to_array().tolist() == [[0, 0], [1, 0]]


def test_everything_wrong_with_edges_is_reported_at_once() -> None:
    with pytest.raises(EngineError) as caught:
        SparseHead.from_edges([0, 2, 9], [1, 1, 1], 3, weights=[1, np.nan, 1])
    assert len(caught.value.problems) == 3
    assert "2 → 1" in str(caught.value)


@pytest.mark.parametrize(
    ("indptr", "indices", "weights", "problem"),
    [
        ([0, 2, 1], [0], None, "must rise"),
        ([0, 1, 2], [0, 5], None, "between 0 and its receiver"),
        ([0, 1, 3], [0, 1, 0], None, "rise strictly"),
        ([0, 1, 2], [0, 1], [1.0, -1.0], "positive"),
    ],
)
def test_check_finds_what_kernels_would_trip_over(
    indptr: list[int], indices: list[int], weights: list[float] | None, problem: str
) -> None:
    head = SparseHead(
        np.array(indptr),
        np.array(indices, np.int32),
        None if weights is None else np.array(weights),
    )
    with pytest.raises(EngineError, match=problem):
        head.check()


def test_a_sparse_head_is_not_written_out_when_too_large() -> None:
    with pytest.raises(TooLargeError, match="GiB"):
        topology("line", 200_000).head_array(0)
