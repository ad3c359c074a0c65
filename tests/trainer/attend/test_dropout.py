"""Dropout masks: their share, and what they depend on."""

from __future__ import annotations

import pytest
import torch

from synergy_trainer.attend import dropout
from synergy_trainer.attend.dropout import Masks
from tests.trainer.runs import torch_threads


def test_masks_keep_the_share_they_say_and_depend_on_everything() -> None:
    masks = Masks([1, 2], 0.1)
    assert masks.kept_share == 0.9
    shares = [
        masks.kept(step, (0, 1), range(2), (1000, 50)).float().mean((1, 2)) for step in range(200)
    ]
    kept_shares = torch.stack(shares)
    assert kept_shares.mean().item() == pytest.approx(0.9, abs=5e-4)
    assert 0.89 < kept_shares.min() < kept_shares.max() < 0.91
    kept = masks.kept(3, (0, 1), range(2), (1000, 50)).clone()
    assert not torch.equal(kept[0], kept[1])
    assert torch.equal(kept[1:], masks.kept(3, (0, 1), range(1, 2), (1000, 50)))
    for other in (
        masks.kept(4, (0, 1), range(2), (1000, 50)),
        masks.kept(3, (1, 1), range(2), (1000, 50)),
        Masks([1, 2], 0.1, stream=1).kept(3, (0, 1), range(2), (1000, 50)),
    ):
        assert not torch.equal(kept, other)


def test_masks_are_drawn_in_parts_that_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dropout, "PART", 64)
    kept = Masks([1, 2], 0.5).kept(3, (0, 1), range(2), (10, 25)).flatten(1)
    first, second, third, rest = kept.split(64, 1)
    assert rest.shape == (2, 58)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)
    with torch_threads(1):
        alone = Masks([1, 2], 0.5).kept(3, (0, 1), range(2), (10, 25)).flatten(1)
    assert torch.equal(kept, alone)


@pytest.mark.parametrize("probability", [0.001, 0.5, 0.999])
def test_masks_of_extreme_probabilities(probability: float) -> None:
    masks = Masks([1], probability)
    kept = [masks.kept(step, (0,), range(1), (5000,)).float().mean() for step in range(400)]
    assert torch.stack(kept).mean().item() == pytest.approx(1 - probability, abs=1e-3)
