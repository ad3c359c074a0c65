"""Dropout masks: one function of places, in Python's integers, in torch, and in kernels."""

from __future__ import annotations

import itertools

import pytest
import torch

from synergy_trainer.attend.attention import attend, dropout
from synergy_trainer.attend.dropout import Drops, drops_of
from synergy_trainer.attend.lanes import LaneAttention

KEYS = torch.tensor([0x12345678, 0xFFFFFFFF, 0])


def mixed(value: int) -> int:
    value = (value ^ (value >> 16)) * 0x7FEB352D % 2**32
    value = (value ^ (value >> 15)) * 0x846CA68B % 2**32
    return value ^ (value >> 16)


def kept_by_hand(drops: Drops, *shape: int) -> torch.Tensor:
    """`Drops.kept`, entry by entry, with Python's integers."""
    found = torch.empty((len(drops.keys), *shape), dtype=torch.bool)
    for model, sequence, head, row, column in itertools.product(*map(range, found.shape)):
        bits = int(drops.keys[model])
        for number in (drops.rank + drops.size * sequence, head, row, column):
            bits = mixed(bits ^ number)
        found[model, sequence, head, row, column] = bits / 2**32 >= drops.probability
    return found


@pytest.mark.parametrize(("rank", "size"), [(0, 1), (2, 3)])
def test_masks_are_those_of_plain_integers(rank: int, size: int) -> None:
    drops = Drops(KEYS, 0.3, rank, size)
    wanted = kept_by_hand(drops, 3, 2, 5, 7)
    assert torch.equal(drops.kept(3, 2, 5, 7), wanted)
    dropped = dropout(torch.ones(wanted.shape), drops)
    assert torch.equal(dropped, wanted * torch.tensor(1 / 0.7))


@pytest.mark.parametrize("heads", [1, 3])
def test_the_kernel_of_attention_drops_the_same(heads: int) -> None:
    """Equal logits and one-hot values show which weights are kept."""
    length = 16
    qkv = torch.zeros(3, 5, length, 3, heads, length)
    qkv[:, :, :, 2] = torch.eye(length)[:, None]
    drops = Drops(KEYS, 0.3, rank=1, size=2)
    found = LaneAttention.apply(qkv, drops).transpose(2, 3) > 0
    assert torch.equal(found, drops.kept(5, heads, length, length).tril())


def test_processes_drop_their_parts_of_one_mask() -> None:
    whole = Drops(KEYS, 0.5).kept(6, 1, 4, 4)
    for rank in range(2):
        assert torch.equal(Drops(KEYS, 0.5, rank, 2).kept(3, 1, 4, 4), whole[:, rank::2])


def test_every_layer_and_site_drops_differently() -> None:
    sites = [site for layer in drops_of(KEYS, 3, 0.5) for site in layer]
    masks = [tuple(site.kept(2, 2, 8, 8).flatten().tolist()) for site in sites]
    assert len(set(masks)) == 6


@pytest.mark.parametrize("probability", [0.001, 0.1, 0.5, 0.999])
def test_the_share_that_is_dropped(probability: float) -> None:
    keys = torch.arange(8) * 0x9E3779B9 % 2**32
    kept = Drops(keys, probability).kept(25, 4, 50, 50).float()
    deviation = (probability * (1 - probability) / kept.numel()) ** 0.5
    assert 1 - kept.mean().item() == pytest.approx(probability, abs=4 * deviation)
    for axes in ((1, 2, 3, 4), (0, 2, 3, 4), (0, 1, 3, 4), (0, 1, 2, 4), (0, 1, 2, 3)):
        counted = kept.mean(axes)
        spread = (probability * (1 - probability) * len(counted) / kept.numel()) ** 0.5
        assert (1 - counted).sub(probability).abs().max() < 5 * spread


def test_neighbours_are_dropped_independently() -> None:
    kept = Drops(KEYS[:1], 0.5).kept(40, 4, 64, 64).double() - 0.5
    for axis in range(1, 5):
        both = kept.narrow(axis, 0, 1 if axis == 0 else kept.shape[axis] - 1)
        agreement = 4 * (both * kept.narrow(axis, 1, kept.shape[axis] - 1)).mean()
        assert abs(agreement.item()) < 5 / kept.numel() ** 0.5


def test_explicit_attention_and_kernels_agree_under_dropout() -> None:
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(3, 4, 9, 3, 2, 8, generator=generator)
    drops, found = Drops(KEYS, 0.3), []
    explicit = attend(qkv, drops, found=found)
    assert torch.allclose(explicit, attend(qkv, drops), atol=1e-6)
    assert torch.allclose(found[0].sum(-1), torch.ones(()))
