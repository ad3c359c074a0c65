"""The stack of models against the plain one, and its options."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synergy_trainer import ModelShape, TrainerError
from synergy_trainer.attend.explicit import causal_softmax
from synergy_trainer.model import ModelStack, initial_state, rotate
from tests.trainer.plain import PlainTransformer
from tests.trainer.runs import make_stack

SHAPE = ModelShape(tokens=11, length=12, embed=16, mlp=24, layers=2)


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
