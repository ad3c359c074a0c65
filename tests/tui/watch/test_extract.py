"""What a probe takes from a module, and that it leaves the module as it was."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from synergy_tui.watch.extract import Extractor, NoAttentionError
from tests.tui.watch.test_watch import LENGTH, Tiny, tokens


def test_modes_of_single_modules_are_put_back() -> None:
    model = Tiny().train()
    model.frozen.eval()
    Extractor(model, tokens())()
    assert model.training
    assert model.dropout.training
    assert not model.frozen.training


class Adapter(nn.Linear):
    """Merges a weight of its own in evaluation mode, as adapters do."""

    def train(self, mode: bool = True) -> Any:
        if not mode:
            self.weight.data += 1
        return super().train(mode)


def test_modules_that_do_more_in_eval_than_set_a_flag_are_left_alone() -> None:
    model = Tiny()
    model.head = Adapter(8, 5)
    before = model.head.weight.clone()
    Extractor(model, tokens())()
    assert torch.equal(model.head.weight, before)


def test_random_numbers_of_every_kind_are_put_back() -> None:
    def drawn() -> tuple[float, float, float]:
        return random.random(), np.random.rand(), float(torch.rand(1))  # noqa: NPY002

    def seed() -> None:
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        torch.manual_seed(0)

    class Drawing(Tiny):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            drawn()
            assert not torch.is_grad_enabled()
            return super().forward(tokens)

    model = Drawing()
    seed()
    expected = drawn()
    seed()
    Extractor(model, tokens())()
    assert drawn() == expected


def test_attention_that_torch_fuses_is_recomputed() -> None:
    model = Tiny()
    found = Extractor(model, tokens())().snapshot
    with torch.no_grad():
        expected = model.eval().explicit(tokens()).numpy()
    np.testing.assert_allclose(found.attention[:, 0], expected, atol=1e-6)
    columns = model.attn["c_proj"].weight.detach().numpy().reshape(8, 2, 4)
    norms = np.sqrt((columns**2).sum((0, 2)))
    np.testing.assert_allclose(found.head_weights[0], norms / norms.sum(), rtol=1e-6)
    assert found.tokens is not None
    assert found.tokens.tolist() == tokens().tolist()


CAUSAL = torch.ones(LENGTH, LENGTH).tril().bool()


@pytest.mark.parametrize(
    "how",
    [
        {"is_causal": True},
        {"is_causal": True, "scale": 0.7},
        {"attn_mask": CAUSAL},
        {"attn_mask": torch.zeros(LENGTH, LENGTH).masked_fill(~CAUSAL, -math.inf)},
        {"is_causal": True, "enable_gqa": True},
    ],
)
def test_recomputed_attention_is_what_torch_uses(how: dict[str, Any]) -> None:
    query, key = torch.randn(3, 4, LENGTH, 8), torch.randn(3, 4, LENGTH, 8)
    if "enable_gqa" in how:
        key = key[:, :2]
    # With the identity as values, what torch returns is the attention.
    value = torch.eye(LENGTH).expand(*key.shape[:2], -1, -1)

    class Model(nn.Module):
        def forward(self, _: torch.Tensor) -> torch.Tensor:
            self.heard = functional.scaled_dot_product_attention(query, key, value, **how)
            return self.heard

    model = Model()
    found = Extractor(model, tokens())().snapshot.attention
    np.testing.assert_allclose(found[:, 0], model.heard, atol=1e-6)


def test_scores_are_of_single_precision_whatever_the_model_is_of() -> None:
    model = Tiny().bfloat16()
    found = Extractor(model, tokens())().snapshot.attention
    with torch.no_grad():
        query, key, _ = (each.double() for each in model.eval().parts(tokens()))
    scores = (query @ key.mT / 2).masked_fill(~CAUSAL, -math.inf)
    np.testing.assert_allclose(found[:, 0], scores.softmax(-1), atol=1e-6)


@pytest.mark.parametrize(
    "asked", [{"need_weights": False}, {}, {"average_attn_weights": False}], ids=str
)
def test_a_model_gets_of_multihead_attention_what_it_asked_for(asked: dict[str, Any]) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x: torch.Tensor) -> Any:
            self.got = self.attention(x, x, x, attn_mask=~CAUSAL, **asked)
            return self.got[0]

    model, x = Model(), torch.randn(3, LENGTH, 8)
    found = Extractor(model, x)().snapshot
    heard, weights = model.got
    with torch.no_grad():
        model(x)
    torch.testing.assert_close(heard, model.got[0])
    assert (weights is None) == (model.got[1] is None)
    if weights is not None:
        torch.testing.assert_close(weights, model.got[1])
        whole = found.attention[:, 0] if weights.ndim == 4 else found.attention[:, 0].mean(1)
        np.testing.assert_allclose(whole, weights, atol=1e-6)


def test_attention_of_multihead_attention_is_what_it_returns() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    mask = nn.Transformer.generate_square_subsequent_mask(LENGTH)
    inputs = torch.randn(3, LENGTH, 8)
    found = Extractor(layer, {"src": inputs, "src_mask": mask, "is_causal": True})()
    layer.eval()
    _, expected = layer.self_attn(
        inputs, inputs, inputs, attn_mask=mask, average_attn_weights=False
    )
    np.testing.assert_allclose(found.snapshot.attention[:, 0], expected.detach(), atol=1e-6)
    assert found.learned


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_attention_of_a_hugging_face_model(implementation: str) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(vocab_size=5, n_positions=8, n_embd=8, n_layer=2, n_head=2)
    model = transformers.GPT2LMHeadModel(config)
    model.set_attn_implementation(implementation)
    model.gradient_checkpointing_enable()
    found = Extractor(model, {"input_ids": tokens(), "labels": tokens()})()
    assert model.config._attn_implementation == implementation
    assert model.is_gradient_checkpointing
    model.set_attn_implementation("eager")
    with torch.no_grad():
        expected = model.eval()(tokens(), labels=tokens(), output_attentions=True)
    np.testing.assert_allclose(found.snapshot.attention[:, 1], expected.attentions[1], atol=1e-6)
    assert found.loss == pytest.approx(float(expected.loss))


def test_a_hugging_face_model_that_fails_is_left_as_it_was() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(vocab_size=5, n_positions=8, n_embd=8, n_layer=1, n_head=2)
    model = transformers.GPT2LMHeadModel(config)
    with pytest.raises(IndexError):
        Extractor(model, {"input_ids": tokens() + 9})()
    assert model.config._attn_implementation == "sdpa"
    assert model.training


def test_sharded_parameters_are_refused() -> None:
    class FullyShardedDataParallel(Tiny):
        pass

    with pytest.raises(NoAttentionError, match="sharded"):
        Extractor(FullyShardedDataParallel(), tokens())()


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel])
def test_wrappers_are_looked_into(wrap: Any) -> None:
    model = Tiny()
    found = Extractor(wrap(model), tokens())().snapshot.attention
    assert (found == Extractor(model, tokens())().snapshot.attention).all()


def test_a_function_may_give_the_attention() -> None:
    given = np.broadcast_to(np.eye(4, dtype=np.float32), (2, 3, 4, 4))
    labels = torch.zeros(2, 9).long()  # not one for each position, so not the tokens
    found = Extractor(nn.Linear(1, 1), labels, lambda model, batch: [given, given])()
    assert found.snapshot.attention.shape == (2, 2, 3, 4, 4)
    assert not found.learned
    assert found.snapshot.tokens is None


def test_rows_of_low_precision_are_made_to_sum_to_one() -> None:
    given = np.tril(np.full((1, 1, 4, 4), 1.003)) / np.arange(1, 5)[:, None]
    found = Extractor(nn.Linear(1, 1), torch.zeros(1), lambda model, batch: given)().snapshot
    np.testing.assert_allclose(found.attention.sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.full((1, 1, 3, 3), 1 / 3), "not causal"),
        (np.tril(np.ones((1, 1, 3, 3))), "sum to one"),
        (np.full((1, 1, 3, 3), np.nan), "sum to one"),
        (np.ones((1, 3, 2)), "one shape"),
    ],
)
def test_what_is_not_attention_is_refused(given: np.ndarray, message: str) -> None:
    with pytest.raises(NoAttentionError, match=message):
        Extractor(nn.Linear(1, 1), torch.zeros(1), lambda model, batch: [given])()
