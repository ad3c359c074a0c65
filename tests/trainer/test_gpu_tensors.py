"""Where an update's tensors are and what waits for them, shown without a GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from synergy_trainer import TASKS, RunSettings
from synergy_trainer.cohort import Cohort
from tests.trainer.runs import PAIR, small


class Waits(TorchDispatchMode):
    """Notes what would wait for a GPU: numbers read by the host, and shapes that values decide."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, given: tuple = (), named: dict | None = None
    ) -> Any:
        name = function.overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim"):
            self.found.append(name)
        if name == "index" and any(
            each is not None and each.dtype == torch.bool for each in given[1]
        ):
            self.found.append("index by a mask")
        return function(*given, **(named or {}))


@pytest.mark.parametrize("task", sorted(TASKS))
@pytest.mark.parametrize(("graphs", "sequences"), [(False, 0), (True, 8)])
def test_no_update_waits_for_the_device(
    task: str, graphs: bool, sequences: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a stack with dropout and what runs may do to their heads, over more than an epoch."""
    monkeypatch.setattr("synergy_trainer.attend.attention.lanes_serve", lambda _: False)
    settings = small(task=task, dropout=0.1, schedule="cosine", sequences=sequences)
    runs = [*PAIR, RunSettings("tied", 4, tied=2, qk_learning_rate=0.5)]
    cohort = Cohort(settings, runs, torch.device("cpu"))
    if graphs:  # which read the learning rate from the device
        cohort._optimiser.param_groups[0]["lr"] = torch.tensor(0.0)
    cohort.update(measure=False)
    with Waits() as noted:
        for _ in range(3):
            if graphs:
                cohort._set_rate(cohort.step + 1)
                cohort._differentiated(*cohort._batch(cohort.step + 1), cohort._keys(1), True)
                cohort.step += 1
            else:
                cohort.update(measure=False)
        seen = len(noted.found)
        torch.ones(2).sum().item()
    assert noted.found[seen:] == ["_local_scalar_dense"]
    assert noted.found[:seen] == []


class Elsewhere(TorchDispatchMode):
    """Notes operations that mix a device's tensors with others, numbers aside."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.made = 0

    def __torch_dispatch__(
        self, function: Any, types: Any, given: tuple = (), named: dict | None = None
    ) -> Any:
        result = function(*given, **(named or {}))
        self.made += 1
        parts = [*tree_leaves(given), *tree_leaves(named or {}), *tree_leaves(result)]
        tensors = [each for each in parts if isinstance(each, torch.Tensor) and each.ndim]
        name = function.overloadpacket.__name__
        if len({each.device.type for each in tensors}) > 1 and name not in ("_to_copy", "copy_"):
            self.found.append(name)
        return result


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sequences": 8},
        {"positions": "rotary"},
        {"positions": "sinusoidal"},
        {"tie_weights": True, "activation": "gelu"},
        {"precision": "bf16"},
    ],
    ids=str,
)
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_all_tensors_of_an_update_are_on_its_device(changes: Any, dropout: float) -> None:
    """The device "meta", whose tensors have no numbers, stands for a GPU."""
    runs = [
        *PAIR,
        RunSettings("alike", 4, head_diversity=0.0, match_scale=True),
        RunSettings("half", 4, head_diversity=0.5),
        RunSettings("tied", 4, tied=2, qk_learning_rate=0.5),
    ]
    settings = small(dropout=dropout, **changes)
    meta = torch.device("meta")
    with Elsewhere() as noted:
        cohort = Cohort(settings, runs, meta)
        losses, accuracies = cohort._differentiated(*cohort._batch(1), cohort._keys(1), True)
        held_out = cohort._drawn_aside(3, 1)
        found, logits = cohort.stack.attention(held_out.inputs, cohort._scored_from, [])
    assert noted.found == []
    assert noted.made > 100
    gradients = [bank.grad for bank in cohort.stack.banks.values()]
    for each in (losses, accuracies, logits, *found, *gradients):
        assert each is not None
        assert each.device == meta


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_dropout_is_never_that_of_pytorchs_attention(
    dropout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some of its kernels round the rate, differently for each width of a head."""
    called, own = [], F.scaled_dot_product_attention

    def noted(*given: Any, **how: Any) -> torch.Tensor:
        called.append(how)
        return own(*given, **how)

    monkeypatch.setattr(F, "scaled_dot_product_attention", noted)
    cohort = Cohort(small(dropout=dropout), PAIR, torch.device("meta"))
    cohort._differentiated(*cohort._batch(1), cohort._keys(1), True)
    assert called == ([] if dropout else [{"is_causal": True}] * len(PAIR) * cohort.shape.layers)
