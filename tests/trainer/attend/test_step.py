"""The step written out for CPUs against automatic differentiation of the readable model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from synergy_trainer import ModelShape
from synergy_trainer.attend import step, tiles
from synergy_trainer.attend.dropout import Masks
from synergy_trainer.data import Batch
from synergy_trainer.model import ModelStack
from tests.trainer.runs import make_stack


def in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention as on a machine without Numba."""
    monkeypatch.setattr(step, "compiled_kernels", lambda: None)


def stack_of(heads: list[int], tied: bool = False, positions: str = "learned") -> ModelStack:
    return make_stack(ModelShape(13, 40, 16, 24, 2, positions, "relu", tied), heads)


def make_batch(models: int, scored_from: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(13, (models, 3, 40), generator=generator)
    return Batch(inputs, torch.randint(13, (models, 3, 40 - scored_from), generator=generator))


def differentiate(stack: ModelStack, losses: Tensor) -> dict[str, Tensor]:
    banks = stack.banks
    return dict(zip(banks, torch.autograd.grad(losses.sum(), list(banks.values())), strict=True))


def mean_losses(logits: Tensor, batch: Batch) -> Tensor:
    losses = F.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="none")
    return losses.view(len(logits), -1).mean(1)


@pytest.mark.parametrize(
    ("heads", "scored_from", "tied", "positions"),
    [
        ([1], 0, False, "learned"),
        ([16], 5, False, "learned"),
        ([1, 2, 2, 8], 3, False, "learned"),
        ([2, 8], 0, True, "sinusoidal"),
    ],
)
@pytest.mark.parametrize("together", [1, 2**13])
@pytest.mark.parametrize("by", ["lanes", "onednn", "blas"])
def test_losses_and_gradients(
    heads: list[int],
    scored_from: int,
    tied: bool,
    positions: str,
    together: int,
    by: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tiles, "WIDE", 8)
    if by != "lanes":
        in_tiles(monkeypatch)
    if by == "blas":
        monkeypatch.setattr(step, "onednn_serves", lambda rounding: False)
    monkeypatch.setattr(step, "TOGETHER", together)
    monkeypatch.setattr(tiles, "TILE", 3 * 40**2)
    monkeypatch.setattr(tiles, "ROWS", 15)
    stack, batch = stack_of(heads, tied, positions), make_batch(len(heads), scored_from)
    logits = stack.logits(batch.inputs, scored_from)
    wanted = differentiate(stack, mean_losses(logits, batch))
    steps = step.cpu_steps(stack, 120, scored_from, range(len(heads)), 0.0, 0)
    for _ in range(2):  # the second time in used buffers
        losses, accuracies = step.run_all(steps, batch, 1, measure=True)
    assert torch.allclose(losses, mean_losses(logits, batch), atol=1e-6)
    assert accuracies is not None
    right = logits.argmax(-1) == batch.targets.flatten(1)
    assert torch.allclose(accuracies, right.float().mean(1))
    for name, gradient in wanted.items():
        found = stack.banks[name].grad
        assert found is not None
        assert torch.allclose(found, gradient, atol=2e-7, rtol=1e-4), name


def kept_in_tiles(masks: Masks, step: int, layer: int, pairs: int) -> Tensor:
    mask = torch.zeros(pairs, 40, 40)
    for block, (first, last) in enumerate(tiles.row_blocks(40)):
        kept = masks.kept(step, (layer, 0, block), range(1), (pairs, last - first, last))
        mask[:, first:last, :last] = kept[0]
    return mask


def kept_in_lanes(masks: Masks, step: int, layer: int, pairs: int) -> Tensor:
    groups, rows, columns = -(-pairs // 16), *torch.tril_indices(40, 40)
    kept = masks.kept(step, (layer, 0, 0), range(1), (groups, len(rows), 16))
    mask = torch.zeros(pairs, 40, 40)
    mask[:, rows, columns] = kept[0].mT.reshape(groups * 16, -1)[:pairs].float()
    return mask


def with_masks(
    stack: ModelStack,
    batch: Batch,
    masks: Masks,
    step: int,
    attention_kept: Callable[[Masks, int, int, int], Tensor],
) -> Tensor:
    """The readable model with the masks of the hand-written step put in by hand."""
    share = masks.kept_share

    def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        mask = attention_kept(masks, step, layer, queries.shape[0] * queries.shape[1]) / share
        scores = queries @ keys.mT / queries.shape[-1] ** 0.5
        future = torch.ones(40, 40, dtype=torch.bool).triu(1)
        attention = scores.masked_fill(future, -torch.inf).softmax(-1)
        return (attention * mask.view(attention.shape)) @ values

    layers = iter(range(stack.shape.layers))

    def dropout(x: Tensor, probability: float) -> Tensor:
        return x * masks.kept(step, (next(layers), 1), range(1), tuple(x.shape[1:])) / share

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "dropout", dropout)
        return stack._forward(batch.inputs, 0, 0.3, torch.float32, attend)


@pytest.mark.parametrize("kept", [kept_in_lanes, kept_in_tiles])
def test_dropout_drops_the_same_in_both_directions(
    kept: Callable[[Masks, int, int, int], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    if kept is kept_in_tiles:
        in_tiles(monkeypatch)
    stack, batch = stack_of([4]), make_batch(1, 0)
    masks = Masks([5], 0.3)
    logits = with_masks(stack, batch, masks, 7, kept)
    wanted = differentiate(stack, mean_losses(logits, batch))
    steps = step.cpu_steps(stack, 120, 0, [5], 0.3, 0)
    losses, _ = step.run_all(steps, batch, 7, measure=False)
    assert torch.allclose(losses, mean_losses(logits, batch), atol=1e-6)
    for name, gradient in wanted.items():
        found = stack.banks[name].grad
        assert found is not None
        assert torch.allclose(found, gradient, atol=2e-7, rtol=1e-4), name
