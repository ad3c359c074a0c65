"""Models trained elsewhere, and files that are not such models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from synergy_trainer import ModelShape, TrainerError, load_published, published
from synergy_trainer.model import initial_state
from tests.trainer.plain import PlainTransformer

SHAPE = ModelShape(tokens=11, length=12, embed=16, mlp=24, layers=2)


@pytest.mark.parametrize("heads", [1, 8])
def test_published_checkpoints(paper: Path, heads: int) -> None:
    model = load_published(paper / f"{heads}_heads_copy.pt", heads)
    reference = json.loads((paper / "reference.json").read_text(encoding="utf-8"))
    assert model.shape.parameters() == 172_800
    attention = model.attention(reference["input0"])
    expected = np.load(paper / "attention.npz")
    weights = model.head_weights()
    records = [r for r in reference["records"] if r["heads"] == heads]
    for layer in range(4):
        wanted = expected[f"copy_h{heads}_l{layer + 1}"]
        assert np.abs(attention[0, layer] - wanted).max() < 3e-6
        assert np.allclose(weights[layer], records[layer]["head_weights"], atol=1e-6)
    inputs = np.random.default_rng(0).integers(0, 256, (50, 100))
    logits = model._stack.logits(torch.as_tensor(inputs)[None])
    assert (logits.argmax(-1).view(50, 100).numpy() == inputs).mean() == 1.0


@pytest.mark.parametrize("removed", ["zero", "mean"])
def test_heads_are_removed_as_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, removed: str
) -> None:
    """Against a plain model whose output projection is given zeros, or means of its inputs."""
    monkeypatch.setattr(published, "SEQUENCES", 4)  # not a divisor: the last part is smaller
    state = initial_state(SHAPE, 3)
    torch.save(state, tmp_path / "model.pt")
    wanted = PlainTransformer(11, 12, 16, 24, 2, 4)
    wanted.load_state_dict(state)
    wanted.double()
    random = np.random.default_rng(0)
    tokens, targets = random.integers(0, 11, (10, 12)), random.integers(0, 11, (10, 5))

    def loss() -> float:
        with torch.no_grad():
            logits = wanted(torch.from_numpy(tokens))[:, -5:]
        answers = torch.from_numpy(targets).flatten()
        return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), answers))

    seen: list[torch.Tensor] = []
    projections = [block.attn.out_proj for block in wanted.layers]
    hooks = [
        each.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        for each in projections
    ]
    whole = loss()
    for hook in hooks:
        hook.remove()
    found = load_published(tmp_path / "model.pt", 4).ablated(tokens, targets)
    assert found[0] == pytest.approx(whole, abs=1e-5)
    for layer, projection in enumerate(projections):
        for head in range(4):
            own = slice(4 * head, 4 * head + 4)

            def without(_: Any, given: Any, own: slice = own, layer: int = layer) -> Any:
                mixed = given[0].clone()
                mixed[..., own] = 0 if removed == "zero" else seen[layer].mean(0)[:, own]
                return (mixed,)

            hook = projection.register_forward_pre_hook(without)
            costs = found[1] if removed == "zero" else found[2]
            assert costs[layer, head] == pytest.approx(loss(), abs=1e-5)
            hook.remove()
    assert len(set(found[1].round(6).flatten())) == 8


def test_files_that_are_not_checkpoints(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="there is no such file"):
        load_published(tmp_path / "absent.pt", 1)
    (tmp_path / "text.pt").write_text("hello", encoding="utf-8")
    with pytest.raises(TrainerError, match="cannot be read as a checkpoint"):
        load_published(tmp_path / "text.pt", 1)
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pt")
    with pytest.raises(TrainerError, match="not a checkpoint of this Transformer"):
        load_published(tmp_path / "other.pt", 1)
    torch.save(initial_state(SHAPE, 0), tmp_path / "good.pt")
    with pytest.raises(TrainerError, match="3 heads do not divide the width embed = 16"):
        load_published(tmp_path / "good.pt", 3)
    model = load_published(tmp_path / "good.pt", 2)
    with pytest.raises(TrainerError, match="within 0 and 10"):
        model.attention([[11]])
    with pytest.raises(TrainerError, match="with n up to 12"):
        model.attention(np.zeros(13))
