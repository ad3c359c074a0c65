"""Interventions on logits against their formulas, read head by head."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from synergy_trainer.attend.interventions import intervened, joined
from synergy_trainer.settings import Intervention

EVERY = [
    Intervention(diversity, match, tied)
    for diversity in (0.0, 0.3, 1.0)
    for match in (False, True)
    for tied in (1, 2, 4)
]


def by_head(scores: np.ndarray, what: Intervention) -> np.ndarray:
    """The same, one head after another."""
    heads, diversity = len(scores), what.head_diversity
    shared = []
    for head in range(heads):
        first = head - head % what.tied
        mean = sum(scores[first : first + what.tied]) / what.tied
        shared.append(mean * math.sqrt(what.tied) if what.match_scale else mean)
    groups = heads // what.tied
    total = math.sqrt(groups - (groups - 1) * diversity**2) if what.match_scale else 1.0
    mean = sum(shared) / heads
    return np.array([diversity * own + (total - diversity) * mean for own in shared])


@pytest.mark.parametrize("what", EVERY, ids=str)
def test_every_head_attends_by_its_formula(what: Intervention) -> None:
    scores = torch.randn(3, 8, 5, 5, generator=torch.Generator().manual_seed(0)).double()
    patterns = intervened(scores, what)
    assert patterns.shape[1] == what.patterns(8)
    found = patterns.repeat_interleave(8 // patterns.shape[1], dim=1)
    for one, mine in zip(scores.numpy(), found.numpy(), strict=True):
        np.testing.assert_allclose(mine, by_head(one, what), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("what", EVERY, ids=str)
def test_gradients_are_finite_differences(what: Intervention) -> None:
    scores = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(1)).double()
    assert torch.autograd.gradcheck(
        lambda values: intervened(values, what).softmax(-1), scores.requires_grad_()
    )


@pytest.mark.parametrize("tied", [1, 2])
@pytest.mark.parametrize("diversity", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_matching_keeps_the_spread_of_independent_heads(diversity: float, tied: int) -> None:
    """Each pattern is a combination of independent logits whose squared weights sum to 1."""
    independent = torch.eye(8).double()[:, :, None, None]  # the derivative by each head
    weights = intervened(independent, Intervention(diversity, True, tied))
    assert torch.allclose(weights.square().sum(0), torch.ones(()).double(), atol=1e-12)


@pytest.mark.parametrize("what", EVERY, ids=str)
def test_heads_that_attend_alike_are_one_wider_head(what: Intervention) -> None:
    generator = torch.Generator().manual_seed(2)
    queries, keys = torch.randn(2, 5, 8, 4, generator=generator).double()  # places, heads, width

    def logits(wide: torch.Tensor, narrow: torch.Tensor) -> torch.Tensor:
        return torch.einsum("ihw,jhw->hij", wide, narrow) / math.sqrt(wide.shape[-1])

    merged = joined(what, 8)
    if what.head_diversity == 0.3:
        assert merged is None
        return
    assert merged is not None
    patterns, factor = merged
    ordinary = logits(factor * queries.reshape(5, patterns, -1), keys.reshape(5, patterns, -1))
    assert torch.allclose(intervened(logits(queries, keys)[None], what)[0], ordinary, atol=1e-12)
    if what.match_scale:
        assert factor == 1.0
