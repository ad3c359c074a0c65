"""Models trained elsewhere, and files that are not such models."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from synergy_trainer import ModelShape, TrainerError, load_published
from synergy_trainer.model import initial_state

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
