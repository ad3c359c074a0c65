"""Tasks: targets by a naive second reading of each rule, floors and ceilings."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from synergy_trainer import TASKS, TrainerError
from synergy_trainer.data import Source

LENGTH, VOCABULARY = 16, 6


def rewritten(answer: Callable[[list[int]], list[int]]) -> Callable[[list[int]], list[int]]:
    def targets(tokens: list[int]) -> list[int]:
        count = len(tokens) // 2
        whole = [*answer(tokens[:count]), VOCABULARY]
        assert tokens[count] == VOCABULARY
        assert tokens[count + 1 :] == whole[: len(tokens) - count - 1]
        return whole[: len(tokens) - count]

    return targets


def recalled(tokens: list[int]) -> list[int]:
    pairs = len(tokens) // 4
    book = dict(zip(tokens[0 : 2 * pairs : 2], tokens[1 : 2 * pairs : 2], strict=True))
    assert len(book) == pairs
    return [book[key] for key in tokens[2 * pairs :]]


NAIVE: dict[str, Callable[[list[int]], list[int]]] = {
    "copy": lambda t: t,
    "cycle": lambda t: [t[-1], *t[:-1]],
    "reverse": rewritten(lambda values: values[::-1]),
    "sort": rewritten(sorted),
    "offset_sum": lambda t: [(t[i - 1] + t[i - 3]) % VOCABULARY for i in range(3, len(t))],
    "parity": lambda t: [sum(v % 2 for v in t[: i + 1]) % 2 for i in range(len(t))],
    "maximum": lambda t: [max(t[: i + 1]) for i in range(len(t))],
    "second_maximum": lambda t: [sorted(t[: i + 1])[-2] for i in range(1, len(t))],
    "associative_recall": recalled,
    "zero": lambda t: [0] * len(t),
}


@pytest.mark.parametrize("name", sorted(NAIVE))
@pytest.mark.parametrize("length", [LENGTH, LENGTH + 1])
def test_targets_follow_the_rule(name: str, length: int) -> None:
    task = TASKS[name](length, VOCABULARY)
    batch = Source(task, 3, 40).batch(1)
    assert batch.inputs.shape == (40, length)
    assert batch.targets.shape == (40, length - task.scored_from)
    assert batch.inputs.min() >= 0
    assert max(batch.inputs.max(), batch.targets.max()) < task.tokens
    for tokens, targets in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        assert NAIVE[name](tokens) == targets


def test_induction_repeats_a_stretch_whose_period_varies() -> None:
    batch = Source(TASKS["induction"](LENGTH, VOCABULARY), 3, 40).batch(1)
    periods = set()
    for tokens, targets in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        whole = [*tokens, targets[-1]]
        assert tokens[LENGTH - LENGTH // 4 + 1 :] == targets[:-1]
        fitting = [
            period
            for period in range(LENGTH // 4, LENGTH // 2 + 1)
            if all(whole[i] == whole[i - period] for i in range(period, len(whole)))
        ]
        assert fitting
        periods.add(fitting[0])
    assert len(periods) > 2


@pytest.mark.parametrize("name", sorted(set(NAIVE) - {"cycle"}))
def test_targets_are_functions_of_what_the_mask_shows(name: str) -> None:
    """Floor 0 and ceiling 1 hold because equal prefixes have equal targets."""
    task = TASKS[name](LENGTH, VOCABULARY)
    assert (task.floor, task.ceiling) == (0.0, 1.0)
    assert task.solvable.startswith("yes, at every")
    small = TASKS[name](5, 2) if name != "associative_recall" else TASKS[name](8, 2)
    batch = Source(small, 0, 4000).batch(1)
    seen: dict[tuple[int, ...], int] = {}
    for tokens, targets in zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True):
        for at, target in enumerate(targets):
            prefix = tuple(tokens[: small.scored_from + at + 1])
            assert seen.setdefault(prefix, target) == target


def test_cycle_has_one_position_that_can_only_be_guessed() -> None:
    task = TASKS["cycle"](LENGTH, VOCABULARY)
    assert task.floor == pytest.approx(math.log(VOCABULARY) / LENGTH)
    assert task.ceiling == pytest.approx(1 - 1 / LENGTH + 1 / (LENGTH * VOCABULARY))
    assert TASKS["cycle"](100, 256).floor == pytest.approx(0.0555, abs=1e-4)
    batch = Source(task, 0, 20_000).batch(1)
    first = torch.stack([batch.inputs[:, 0], batch.targets[:, 0]])
    counts = torch.zeros(VOCABULARY, VOCABULARY).index_put_(
        tuple(first), torch.ones(20_000), accumulate=True
    )
    assert (counts / 20_000 * VOCABULARY**2 - 1).abs().max() < 0.15


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_says_what_it_asks(name: str) -> None:
    task = TASKS[name]
    assert task.name == name
    assert task.summary
    assert task.needs_attention.startswith(("yes: ", "no: "))
    assert task.solvable.startswith("yes")


def test_sizes_that_cannot_be() -> None:
    with pytest.raises(TrainerError, match=r"length: task 'sort' needs at least 4 tokens, got 2"):
        TASKS["sort"](2, 8)
    with pytest.raises(TrainerError, match="needs a vocabulary of at least 8, got 4"):
        TASKS["associative_recall"](32, 4)
    with pytest.raises(TrainerError) as caught:
        TASKS["induction"](1, 1)
    assert len(caught.value.problems) == 2


def test_metadata_needs_no_torch() -> None:
    code = (
        "import sys, synergy_trainer as trainer; trainer.TASKS['sort'](33, 16).floor; "
        "trainer.check(trainer.TrainSettings(), [trainer.RunSettings('a', 1)]); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
