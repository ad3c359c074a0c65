"""Batches as a function of seed, step and split."""

from __future__ import annotations

import pytest
import torch

from synergy_trainer import TASKS
from synergy_trainer.data import Source


def source(name: str, seed: int = 3, **options: object) -> Source:
    return Source(TASKS[name](16, 6), seed, 40, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(TASKS))
def test_batches_depend_on_seed_step_and_split_alone(name: str) -> None:
    again = source(name)
    again.batch(9)
    assert torch.equal(source(name).batch(2).inputs, again.batch(2).inputs)
    others = [
        source(name).batch(3),
        source(name, seed=4).batch(2),
        source(name, split="held_out").batch(2),
    ]
    for other in others:
        assert not torch.equal(source(name).batch(2).inputs, other.inputs)


def test_train_and_held_out_share_no_sequence() -> None:
    train = {tuple(row) for k in range(50) for row in source("copy").batch(k).inputs.tolist()}
    held_out = {tuple(row) for row in source("copy", split="held_out").batch(1).inputs.tolist()}
    assert len(train) == 50 * 40
    assert not train & held_out


def test_known_bits() -> None:
    """The very numbers, so that another device or version that draws others is found out."""
    batch = Source(TASKS["copy"](8, 256), 7, 2).batch(1)
    assert batch.inputs.tolist() == [
        [64, 71, 60, 190, 100, 185, 153, 180],
        [222, 21, 2, 249, 6, 115, 82, 105],
    ]


def test_a_fixed_set_is_visited_once_an_epoch_in_a_new_order() -> None:
    fixed = source("copy", sequences=120)
    epochs = [
        [tuple(row) for step in steps for row in fixed.batch(step).inputs.tolist()]
        for steps in (range(1, 4), range(4, 7))
    ]
    assert len(set(epochs[0])) == 120
    assert set(epochs[0]) == set(epochs[1])
    assert epochs[0] != epochs[1]
    assert torch.equal(fixed.batch(2).inputs, source("copy", sequences=120).batch(2).inputs)
