"""The kernels for CUDA, in Triton's interpreter, against the CPU's: values, gradients, masks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

ON_GPU = torch.cuda.is_available()
if not ON_GPU and "triton" not in sys.modules:
    os.environ["TRITON_INTERPRET"] = "1"  # read as Triton is imported
pytest.importorskip("triton", reason="needs Triton")

from synergy_trainer.attend import fused  # noqa: E402
from synergy_trainer.attend.attention import attend, dropout  # noqa: E402
from synergy_trainer.attend.dropout import Drops  # noqa: E402
from synergy_trainer.attend.lanes import LaneDropout  # noqa: E402
from synergy_trainer.cohort import Cohort  # noqa: E402
from synergy_trainer.model import _Normalise, normalised  # noqa: E402
from tests.trainer.runs import PAIR, small  # noqa: E402

KEYS = torch.tensor([0x12345678, 0xFFFFFFFF, 0])
DEVICE = "cuda" if ON_GPU else "cpu"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the kernels serve wherever these tests run."""
    monkeypatch.setattr(fused, "_DEVICES", {DEVICE})
    monkeypatch.setattr("synergy_trainer.attend.attention.lanes_serve", lambda _: False)


def drawn(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, generator=generator)


def with_gradient(work, *inputs: torch.Tensor) -> list[torch.Tensor]:
    """The result, and the gradient of each input for a gradient that differs everywhere."""
    leaves = [each.detach().clone().requires_grad_() for each in inputs]
    result = work(*leaves)
    result.backward(drawn(*result.shape).to(result))
    return [result.detach().cpu().float(), *(leaf.grad.cpu().float() for leaf in leaves)]


def on(device: str, drops: Drops | None) -> Drops | None:
    if drops is None:
        return None
    return Drops(drops.keys.to(device), drops.probability, drops.rank, drops.size)


def agree(found: list[torch.Tensor], wanted: list[torch.Tensor], tolerance: float) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        assert (one - other).norm() <= tolerance * other.norm()


def attention(qkv: torch.Tensor, drops: Drops | None) -> torch.Tensor:
    """By the kernels: qkv (M, B, n, 3, H, w) to (M, B, n, H, w)."""
    heads = [qkv.shape[4]] * len(qkv)
    return fused.FusedAttention.apply(qkv.flatten(3), heads, drops).unflatten(3, (heads[0], -1))


def test_models_with_different_heads_attend_at_once() -> None:
    heads, drops, qkv = [1, 4, 4, 16], Drops(torch.arange(4) + 7, 0.2), drawn(4, 2, 20, 3 * 16)

    def by_model(x: torch.Tensor) -> torch.Tensor:
        found = [
            attend(part.unflatten(3, (3, count, -1)), drops.of(slice(m, m + 1))).flatten(3)
            for m, (part, count) in enumerate(zip(x.split(1), heads, strict=True))
        ]
        return torch.cat(found)

    own = on(DEVICE, drops)
    found = with_gradient(lambda x: fused.FusedAttention.apply(x, heads, own), qkv.to(DEVICE))
    agree(found, with_gradient(by_model, qkv), 2e-6)


@pytest.mark.parametrize("heads", [1, 4, 8, 16])
@pytest.mark.parametrize("drops", [None, Drops(KEYS[:2], 0.1), Drops(KEYS[1:], 0.6, 1, 3)])
@pytest.mark.parametrize("length", [70, 17])
def test_attention_is_that_of_the_cpu(heads: int, drops: Drops | None, length: int) -> None:
    qkv = drawn(2, 2, length, 3, heads, 64 // heads)
    wanted = with_gradient(lambda x: attend(x, drops), qkv)
    own = on(DEVICE, drops)
    found = with_gradient(lambda x: attention(x, own), qkv.to(DEVICE))
    agree(found, wanted, 2e-6)


@pytest.mark.parametrize("width", [3, 12, 20])
def test_attention_of_widths_that_are_no_powers_of_two(width: int) -> None:
    drops, qkv = Drops(KEYS[:1], 0.3), drawn(1, 2, 33, 3, 2, width)
    wanted = with_gradient(lambda x: attend(x, drops), qkv)
    own = on(DEVICE, drops)
    found = with_gradient(lambda x: attention(x, own), qkv.to(DEVICE))
    agree(found, wanted, 2e-6)


@pytest.mark.skipif(ON_GPU, reason="lays numbers far apart in a file with holes")
def test_attention_reaches_numbers_beyond_the_32nd_bit(tmp_path: Path) -> None:
    """The second of two sequences so long that it begins beyond 2³¹ numbers; 16 tokens are read."""
    length, tokens, width = 12_000_000, 16, 64
    assert 3 * width * length > 2**31

    def far(name: str, columns: int) -> torch.Tensor:
        size = 2 * length * columns
        found = torch.from_file(str(tmp_path / name), shared=True, size=size, dtype=torch.float32)
        return found.view(2, length, columns)

    qkv, gradient = drawn(1, 1, tokens, 3 * width), drawn(1, 1, tokens, width)
    normalisers = torch.zeros(2, tokens)
    mine = far("qkv", 3 * width), far("out", width), normalisers, far("g", width), far("to", 192)
    mine[0][1, :tokens], mine[3][1, :tokens] = qkv[0, 0], gradient[0, 0]
    how = {"W": width, "PADDED": width, "N": tokens, "BLOCK": tokens, "DROPS": False}
    rest = (KEYS, 1, length, 1, width**-0.5 * 1.4426950408889634, 0, 1, 0, 1.0)
    kernels = fused._kernels()
    kernels.attention_forward[(2,)](*mine[:3], *rest, **how, PRECISION="ieee")
    kernels.attention_backward[(2,)](*mine, *rest, **how, PRECISION="ieee")
    leaf = qkv.clone().requires_grad_()
    wanted = attend(leaf.unflatten(3, (3, 1, width)), None).flatten(3)
    wanted.backward(gradient)
    found = [mine[1][1, :tokens], mine[4][1, :tokens]]
    agree(found, [wanted[0, 0], leaf.grad[0, 0]], 2e-6)


@pytest.mark.parametrize("probability", [0.1, 0.9])
def test_attention_drops_the_same_entries(probability: float) -> None:
    """Equal logits and one-hot values show which weights are kept."""
    length = 16
    qkv = torch.zeros(3, 5, length, 3, 3, length)
    qkv[:, :, :, 2] = torch.eye(length)[:, None]
    drops = Drops(KEYS, probability, rank=1, size=2)
    own = on(DEVICE, drops)
    found = attention(qkv.to(DEVICE), own).transpose(2, 3).cpu() > 0
    assert torch.equal(found, drops.kept(5, 3, length, length).tril())


@pytest.mark.parametrize("shape", [(3, 4, 1, 100, 64), (3, 2, 3, 5, 7), (3, 1, 2, 33, 300)])
@pytest.mark.parametrize("added", [False, True])
def test_dropout_is_that_of_the_cpu_to_the_bit(shape: tuple[int, ...], added: bool) -> None:
    drops = Drops(KEYS, 0.3, rank=2, size=3)
    inputs = [drawn(*shape), drawn(*shape) + 1][: 1 + added]
    own = on(DEVICE, drops)
    wanted = with_gradient(lambda x, *y: sum(y, LaneDropout.apply(x, drops)), *inputs)
    found = with_gradient(
        lambda x, *y: fused.FusedDropout.apply(x, own, *(y or (None,))),
        *(each.to(DEVICE) for each in inputs),
    )
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=0 if not ON_GPU else 1e-6)
        assert torch.equal(one == 0, other == 0)


def test_dropout_of_bfloat16_keeps_the_stream_float32() -> None:
    drops = Drops(KEYS, 0.3)
    made, stream = drawn(3, 2, 1, 5, 8).bfloat16(), drawn(3, 2, 1, 5, 8)
    own = on(DEVICE, drops)
    made, stream = made.to(DEVICE).requires_grad_(), stream.to(DEVICE)
    found = fused.FusedDropout.apply(made, own, stream)
    found.sum().backward()
    assert found.dtype == torch.float32
    assert made.grad is not None
    assert made.grad.dtype == torch.bfloat16
    kept = drops.kept(2, 1, 5, 8)
    assert torch.equal(made.grad.cpu() > 0, kept)


@pytest.mark.parametrize("shape", [(4, 100, 64), (1, 3, 5), (2, 7, 4096)])
def test_normalisation_is_that_of_the_cpu(served: None, shape: tuple[int, ...]) -> None:
    x = drawn(*shape)
    x[0, 0] = 0.0
    agree(with_gradient(normalised, x.to(DEVICE)), with_gradient(_Normalise.apply, x), 1e-6)


@pytest.mark.parametrize("kernels", [False, True])
@pytest.mark.parametrize(("tokens", "inputs", "outputs"), [(1280, 6, 5), (300, 64, 100), (7, 3, 4)])
def test_affine_maps_and_their_gradients(
    kernels: bool, tokens: int, inputs: int, outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kernels and ON_GPU:
        pytest.skip("would multiply by TF32")
    monkeypatch.setattr(fused, "_products_serve", lambda _: kernels)
    x, weight, bias = drawn(2, tokens, inputs), drawn(2, outputs, inputs), drawn(2, outputs)
    found = with_gradient(fused.Affine.apply, *(each.to(DEVICE) for each in (x, weight, bias)))
    wanted = with_gradient(lambda x, w, b: x @ w.mT + b[:, None], x, weight, bias)
    agree(found, wanted, 2e-6)


def test_a_training_with_the_kernels_is_that_of_the_cpu(
    served: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small(dropout=0.2)
    found = Cohort(settings, PAIR, torch.device(DEVICE))
    losses = [found.update(measure=True).losses.cpu() for _ in range(3)]
    monkeypatch.undo()
    wanted = Cohort(settings, PAIR, torch.device("cpu"))
    for ours in losses:
        assert torch.allclose(ours, wanted.update(measure=True).losses, atol=1e-5)


def test_kernels_that_failed_are_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "_DEVICES", {DEVICE})
    monkeypatch.setattr(fused, "_failures", [])
    x = torch.ones(1, 1, 1, 2, 3, device=DEVICE)
    assert fused.fused_serves(x)
    fused.give_up("no compiler")
    assert not fused.fused_serves(x)
    assert fused.missing() == "no compiler"
    dropped = dropout(x, on(DEVICE, Drops(KEYS[:1], 0.5)))
    assert torch.equal(dropped.cpu() > 0, Drops(KEYS[:1], 0.5).kept(1, 1, 2, 3))
