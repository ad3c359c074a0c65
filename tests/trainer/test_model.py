"""The stack of models against the plain one, and its options."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from synergy_trainer import ModelShape, TrainerError
from synergy_trainer.attend import lanes
from synergy_trainer.attend.dropout import drops_of
from synergy_trainer.attend.explicit import causal_softmax
from synergy_trainer.data import Batch
from synergy_trainer.model import (
    ModelStack,
    _Normalise,
    answered,
    initial_state,
    rotate,
    split_banks,
)
from tests.trainer.plain import PlainTransformer
from tests.trainer.runs import make_stack

SHAPE = ModelShape(tokens=11, length=12, embed=16, mlp=24, layers=2)

KEYS = torch.tensor([5, 123456789, 2**32 - 1, 77])


def tokens(models: int, batch: int = 3, length: int = 12) -> torch.Tensor:
    return torch.randint(11, (models, batch, length), generator=torch.Generator().manual_seed(0))


def test_every_model_of_a_stack_is_the_plain_one() -> None:
    heads = [1, 2, 2, 16]
    stack, inputs = make_stack(SHAPE, heads), tokens(4)
    logits = stack.logits(inputs)
    for model, count in enumerate(heads):
        plain = PlainTransformer(11, 12, 16, 24, 2, count)
        plain.load_state_dict(stack.state(model))
        assert torch.allclose(logits[model].view(3, 12, 11), plain(inputs[model]), atol=2e-6)


def plain_gradients(
    stack: ModelStack, model: int, batch: Batch, probability: float, monkeypatch: pytest.MonkeyPatch
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Loss and gradients of the plain model in float64, whose dropout takes the stack's masks."""
    shape, heads = stack.shape, stack.heads[model]
    plain = PlainTransformer(11, 12, 16, 24, shape.layers, heads, dropout=probability).double()
    plain.load_state_dict(stack.state(model))
    sites = iter(site for layer in drops_of(KEYS, shape.layers, probability) for site in layer)

    def masked(x: torch.Tensor, *_: object) -> torch.Tensor:
        kept = (
            next(sites).of(slice(model, model + 1)).kept(*(x if x.ndim == 4 else x[:, None]).shape)
        )
        return x * kept.view(x.shape) / (1 - probability)

    with monkeypatch.context() as patch:
        if probability:
            patch.setattr(F, "dropout", masked)
        logits = plain(batch.inputs[model])[:, -batch.targets.shape[2] :]
    loss = F.cross_entropy(logits.flatten(0, 1), batch.targets[model].flatten())
    loss.backward()
    return loss.detach(), {name: each.grad for name, each in plain.named_parameters()}


@pytest.mark.parametrize("kernels", [True, False])
@pytest.mark.parametrize("probability", [0.0, 0.3])
@pytest.mark.parametrize("scored_from", [0, 5])
@pytest.mark.parametrize("heads", [[1], [8], [1, 2, 2, 16]])
def test_losses_and_gradients_are_the_plain_ones(
    heads: list[int],
    scored_from: int,
    probability: float,
    kernels: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not kernels:
        monkeypatch.setattr(lanes, "compiled_kernels", lambda: None)
    stack, inputs = make_stack(SHAPE, heads), tokens(len(heads))
    batch = Batch(inputs, tokens(len(heads), length=12 - scored_from))
    drops = drops_of(KEYS[: len(heads)], 2, probability) if probability else ()
    logits = stack.logits(inputs, scored_from, drops)
    targets = batch.targets.flatten(1)
    right = (logits.argmax(-1) == targets).float().mean(1)
    losses, accuracies = answered(logits, targets)
    losses.sum().backward()
    assert torch.equal(accuracies, right)
    grads = {name: bank.grad for name, bank in stack.banks.items()}
    for model in range(len(heads)):
        loss, wanted = plain_gradients(stack, model, batch, probability, monkeypatch)
        assert losses[model].item() == pytest.approx(loss.item(), abs=1e-6)
        found = split_banks(SHAPE, {name: grad[model] for name, grad in grads.items()})
        for name, gradient in wanted.items():
            assert torch.allclose(found[name].double(), gradient, atol=2e-7, rtol=1e-4), name


def test_the_norms_gradient_by_finite_differences() -> None:
    x = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert torch.autograd.gradcheck(_Normalise.apply, x.requires_grad_())


@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("tied", [False, True])
def test_options_keep_the_causal_mask_and_the_count(
    positions: str, activation: str, tied: bool
) -> None:
    shape = ModelShape(11, 12, 16, 24, 2, positions, activation, tied)
    stack, inputs = make_stack(shape, [2, 8]), tokens(2)
    assert sum(bank[0].numel() for bank in stack.banks.values()) == shape.parameters()
    changed = inputs.clone()
    changed[:, :, 7] = (changed[:, :, 7] + 1) % 11
    before, after = (stack.logits(each).view(2, 3, 12, 11).detach() for each in (inputs, changed))
    assert torch.equal(before[:, :, :7], after[:, :, :7])
    assert not torch.allclose(before[:, :, 7:], after[:, :, 7:])


def test_rotary_scores_depend_on_the_distance_alone() -> None:
    query, key = torch.randn(2, 1, 1, 1, 1, 8, generator=torch.Generator().manual_seed(1))
    queries, keys = (rotate(x.expand(1, 1, 9, 1, 8))[0, 0, :, 0] for x in (query, key))
    scores = queries @ keys.mT
    for distance in range(9):
        diagonal = scores.diagonal(-distance)
        assert torch.allclose(diagonal, diagonal[:1].expand_as(diagonal), atol=1e-5)


def test_probed_attention_is_what_the_model_uses() -> None:
    """Values mixed by it give the fused logits; rows are distributions over the past."""
    stack, inputs = make_stack(SHAPE, [2, 4, 4]), tokens(3)
    attention, logits = stack.attention(inputs)
    assert torch.allclose(logits, stack.logits(inputs), atol=2e-6)
    assert [tuple(each.shape) for each in attention] == [
        (3, 2, 2, 12, 12),
        (3, 2, 4, 12, 12),
        (3, 2, 4, 12, 12),
    ]
    for each in attention:
        assert torch.allclose(each.sum(-1), torch.ones(()), atol=1e-6)
        assert torch.equal(each, each.tril())


def test_attention_of_each_model_belongs_to_it() -> None:
    inputs = tokens(1).expand(3, -1, -1)
    together, _ = make_stack(SHAPE, [2, 4, 4]).attention(inputs)
    for model, heads in enumerate((2, 4, 4)):
        alone = ModelStack(SHAPE, [heads])
        alone.load(0, initial_state(SHAPE, seed=model))
        assert torch.allclose(alone.attention(inputs[:1])[0][0], together[model], atol=1e-6)


def test_causal_softmax_at_extreme_scores() -> None:
    queries = torch.full((1, 1, 4, 2), 200.0)
    attention = causal_softmax(queries, queries)
    assert torch.allclose(attention[0, 0, 3], torch.full((4,), 0.25))


def test_equal_seeds_start_from_equal_numbers_where_shapes_agree() -> None:
    wide = ModelShape(11, 12, 16, 40, 3)
    one, other = initial_state(SHAPE, 5), initial_state(wide, 5)
    agreeing = [name for name in one if one[name].shape == other[name].shape]
    assert "layers.1.attn.W_q.weight" in agreeing
    for name in agreeing:
        # The second MLP bias is drawn in proportion to 1/√mlp, which differs.
        scale = (40 / 24) ** 0.5 if name.endswith("mlp.2.bias") else 1.0
        assert torch.allclose(one[name], scale * other[name], rtol=1e-6, atol=0.0)


def test_no_two_parameters_start_from_the_same_stream() -> None:
    drawn = [
        tuple((values / values.abs().max()).flatten()[:4].tolist())
        for seed in (5, 6)
        for name, values in initial_state(SHAPE, seed).items()
        if ".ln" not in name
    ]
    assert len(set(drawn)) == len(drawn)


def test_head_weights_are_norms_of_the_projection_columns() -> None:
    stack = make_stack(SHAPE, [4])
    projection = stack.state(0)["layers.1.attn.out_proj.weight"].double().numpy()
    norms = [np.linalg.norm(projection[:, 4 * head : 4 * head + 4]) for head in range(4)]
    assert np.allclose(stack.head_weights(0)[1], np.array(norms) / sum(norms), atol=1e-12)


def test_state_dicts_that_do_not_fit_are_reported_in_full() -> None:
    state = initial_state(SHAPE, 0)
    state["extra"] = state.pop("pos_emb.weight")
    state["out_proj.bias"] = torch.zeros(3)
    with pytest.raises(TrainerError) as caught:
        ModelStack(SHAPE, [1]).load(0, state)
    assert caught.value.problems == [
        "pos_emb.weight: missing",
        "extra: not a parameter of this model",
        "out_proj.bias: has shape (3,), needs (11,)",
    ]
