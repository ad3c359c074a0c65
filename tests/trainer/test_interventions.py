"""Interventions and controls against the plain model, and against trainings without them."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from synergy_trainer import (
    ModelShape,
    Probe,
    RunSettings,
    RunStarted,
    TrainerError,
    load_published,
    train,
)
from synergy_trainer.cohort import Cohort
from synergy_trainer.data import Source
from synergy_trainer.model import ModelStack, initial_state
from synergy_trainer.settings import Intervention
from tests.trainer.plain import PlainTransformer
from tests.trainer.runs import losses, of_kind, same, small, weights

CPU = torch.device("cpu")
CHANGED = [
    {"head_diversity": 0.0},
    {"head_diversity": 0.4},
    {"head_diversity": 0.0, "match_scale": True},
    {"head_diversity": 0.4, "match_scale": True},
    {"tied": 2},
    {"tied": 4, "match_scale": True},
    {"tied": 2, "head_diversity": 0.4, "match_scale": True},
]


def plain(cohort: Cohort, model: int, **changes: Any) -> PlainTransformer:
    """One of a cohort's models as it is now, in double precision."""
    names = {"head_diversity": "diversity"}
    shape = cohort.shape
    found = PlainTransformer(
        shape.tokens,
        shape.length,
        shape.embed,
        shape.mlp,
        shape.layers,
        cohort.runs[model].heads,
        **{names.get(name, name): value for name, value in changes.items()},
    )
    found.load_state_dict(cohort.stack.state(model))
    return found.double()


def loss_of(model: PlainTransformer, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    logits = model(inputs)[:, -targets.shape[1] :]
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


@pytest.mark.parametrize("changes", [*CHANGED, {"head_width": 3}, {"head_width": 5, "tied": 2}])
def test_losses_and_gradients_are_those_of_the_plain_model(changes: dict[str, Any]) -> None:
    cohort = Cohort(small(), [RunSettings("a", 4, **changes)], CPU)
    wanted = plain(cohort, 0, **changes)
    inputs, targets = cohort._batch(1)
    loss = loss_of(wanted, inputs[0], targets[0])
    loss.backward()
    gradients = {name: values.grad for name, values in wanted.named_parameters()}
    found, _ = cohort._differentiated(inputs, targets, cohort._keys(1), measure=True)
    assert float(found) == pytest.approx(loss.item(), abs=1e-6)
    banks = {name: bank.grad for name, bank in cohort.stack.banks.items()}
    for name, values in cohort.stack.state(0).items():
        bank, rows = name, slice(None)
        for part, product in enumerate(("W_q", "W_k", "W_v")):
            if product in name:
                bank = name.replace(product, "qkv")
                start = part * cohort.shape.query_width
                rows = slice(start, start + len(values))
        mine = banks[bank]
        theirs = gradients[name]
        assert mine is not None
        assert theirs is not None
        assert torch.allclose(mine[0, rows].double(), theirs, atol=2e-6), name


def test_the_plain_models_gradients_are_finite_differences() -> None:
    """So that both could not be wrong in the same way."""
    changes = {"head_diversity": 0.4, "match_scale": True, "tied": 2}
    cohort = Cohort(small(), [RunSettings("a", 4, **changes)], CPU)
    model = plain(cohort, 0, **changes)
    inputs, targets = (each[0] for each in cohort._batch(1))
    loss_of(model, inputs, targets).backward()
    generator = torch.Generator().manual_seed(0)
    for name, values in model.named_parameters():
        assert values.grad is not None
        way = torch.randn(values.shape, generator=generator).double()
        slope, start = float((values.grad * way).sum()), values.detach().clone()
        ends = []
        for sign in (1, -1):
            with torch.no_grad():
                values.copy_(start + sign * 1e-6 * way)
                ends.append(float(loss_of(model, inputs, targets)))
        with torch.no_grad():
            values.copy_(start)
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(slope, rel=1e-4, abs=1e-8), name


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_alike_and_matched_heads_are_the_ordinary_network_with_one(positions: str) -> None:
    settings = small(steps=20, positions=positions)
    runs = [
        RunSettings("one", 1),
        RunSettings("alike", 8, head_diversity=0.0, match_scale=True),
        RunSettings("two", 2),
        RunSettings("pairs", 8, tied=4, match_scale=True),
    ]
    events = list(train(settings, runs, device="cpu"))
    assert losses(events, "alike") == losses(events, "one")
    assert losses(events, "pairs") == losses(events, "two")
    probe = next(p for p in reversed(of_kind(events, Probe)) if p.run == "alike")
    assert (probe.attention == probe.attention[:, :, :1]).all()


def test_rotary_positions_turn_every_head_before_it_is_averaged() -> None:
    """Joined heads turn as narrow ones: the mean's logits depend on distances alone."""
    shape = ModelShape(11, 12, 16, 24, 1, positions="rotary")
    inputs = torch.randint(11, (1, 3, 12), generator=torch.Generator().manual_seed(0))
    stacks = []
    for change in (Intervention(0.0, True, 1), Intervention(1e-12, True, 1)):
        stack = ModelStack(shape, [4], changes=[change])
        stack.load(0, initial_state(shape, 0))
        stacks.append(stack.logits(inputs))
    assert torch.allclose(*stacks, atol=1e-6)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_whole_diversity_is_bit_for_bit_the_ordinary_model(dropout: float) -> None:
    settings = small(steps=10, dropout=dropout)
    ordinary = [RunSettings("a", 8), RunSettings("b", 8), RunSettings("c", 4)]
    changed = [
        RunSettings("a", 8, head_diversity=1.0, match_scale=True),
        RunSettings("b", 8, head_diversity=0.5),
        RunSettings("c", 4, tied=2, qk_learning_rate=0.5),
    ]
    before, after = (list(train(settings, runs, device="cpu")) for runs in (ordinary, changed))
    assert losses(after, "a") == losses(before, "a")
    assert losses(after, "b") != losses(before, "b")


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_a_stack_of_tasks_and_interventions_trains_as_each_does_alone(dropout: float) -> None:
    settings = small(task="copy", steps=15, dropout=dropout, vocabulary=8)
    runs = [
        RunSettings("copy", 8),
        RunSettings("cycle", 8, task="cycle", head_diversity=0.5, match_scale=True),
        RunSettings("alike", 8, task="cycle", head_diversity=0.0),
        RunSettings("copy-pairs", 4, tied=2, head_diversity=0.25, seed=3),
        RunSettings("slow", 4, task="cycle", qk_learning_rate=0.25),
        RunSettings("width", 4, head_width=4, head_diversity=0.75),
    ]
    together = list(train(settings, runs, device="cpu"))
    assert len({event.parameters for event in of_kind(together, RunStarted)}) == 1
    for run in runs:
        alone = list(train(settings, [run], device="cpu"))
        assert losses(together, run.name) == pytest.approx(losses(alone, run.name), abs=2e-5)


@pytest.mark.parametrize(
    "changes",
    [*CHANGED, {"head_width": 3}, {"qk_learning_rate": 0.3}],
    ids=str,
)
def test_a_resume_repeats_every_bit_of_a_run_with(tmp_path: Path, changes: dict) -> None:
    run = RunSettings("a", 4, **changes)
    resumed_to_the_bit(tmp_path, run, dropout=0.2)


@pytest.mark.parametrize(
    "changes",
    [
        {"schedule": "linear"},
        {"schedule": "cosine", "warmup": 5},
        {"warmup": 14},
        {"eval_sequences": 5, "ablate": True, "norms": True, "probe_stream": 4},
    ],
    ids=str,
)
def test_a_resume_repeats_every_bit_of_a_training_with(tmp_path: Path, changes: dict) -> None:
    resumed_to_the_bit(tmp_path, RunSettings("a", 4), **changes)


def resumed_to_the_bit(folder: Path, run: RunSettings, **changes: Any) -> None:
    """Trained in one go, and stopped before update 14 and resumed."""
    settings = small(steps=20, **changes)
    whole = list(train(settings, [run], device="cpu", directory=folder / "whole"))
    asked = itertools.count()
    parts = list(
        train(
            settings,
            [run],
            device="cpu",
            directory=folder / "parts",
            should_stop=lambda: next(asked) == 13,
        )
    )
    parts += train(settings, [run], device="cpu", directory=folder / "parts", resume=True)
    assert [event.step for event in of_kind(parts, RunStarted)] == [0, 13]
    assert same(weights(folder / "whole", "a", 20), weights(folder / "parts", "a", 20))
    last, again = (of_kind(events, Probe)[-1] for events in (whole, parts))
    assert (last.loss, last.accuracy) == (again.loss, again.accuracy)
    assert np.array_equal(last.attention, again.attention)


def test_a_resume_with_other_interventions_or_schedules_is_refused(tmp_path: Path) -> None:
    run = RunSettings("a", 4, head_diversity=0.5)
    settings = small(steps=10, schedule="linear")
    list(train(settings, [run], device="cpu", directory=tmp_path))

    def resume(run: RunSettings, **changes: Any) -> list[str]:
        settings = small(**{"steps": 10, "schedule": "linear", **changes})
        with pytest.raises(TrainerError) as caught:
            list(train(settings, [run], device="cpu", directory=tmp_path, resume=True))
        return caught.value.problems

    assert resume(RunSettings("a", 4)) == [
        "a: head_diversity is 1.0, in the checkpoint 0.5",
    ]
    assert resume(run, warmup=3) == ["a: warmup is 3, in the checkpoint 0"]
    assert resume(run, steps=20) == ["a: steps is 20, in the checkpoint 10"]


@pytest.mark.parametrize(
    "changes", [{"qk_learning_rate": 0.3}, {"schedule": "cosine", "warmup": 4}], ids=str
)
def test_learning_rates_are_those_of_plain_adam(changes: dict[str, Any]) -> None:
    """Queries and keys in a group of their own, and the rate set before every step."""
    own = {name: value for name, value in changes.items() if name == "qk_learning_rate"}
    shared = {name: value for name, value in changes.items() if name not in own}
    settings = small(steps=12, learning_rate=3e-3, **shared)
    cohort = Cohort(settings, [RunSettings("a", 4, **own), RunSettings("b", 4)], CPU)
    model = plain(cohort, 0)
    groups: list[list[torch.nn.Parameter]] = [[], []]
    for name, values in model.named_parameters():
        groups["W_q" in name or "W_k" in name].append(values)
    factors = (1.0, own.get("qk_learning_rate", 1.0))
    optimiser = torch.optim.Adam([{"params": group} for group in groups])
    for step in range(1, 13):
        inputs, targets = (each[0] for each in cohort._batch(step))
        for group, factor in zip(optimiser.param_groups, factors, strict=True):
            group["lr"] = 3e-3 * factor * settings.rate_factor(step)
        optimiser.zero_grad()
        loss_of(model, inputs, targets).backward()
        optimiser.step()
        cohort.update(measure=False)
    for name, values in cohort.stack.state(0).items():
        if "W_k.bias" not in name:  # on which nothing depends, so that Adam follows rounding
            assert torch.allclose(values.double(), model.state_dict()[name], atol=2e-5), name
    other = Cohort(settings, [RunSettings("a", 4), RunSettings("b", 4)], CPU)
    for _ in range(12):
        other.update(measure=False)
    assert same(cohort.stack.state(1), other.stack.state(1))


def probed(runs: list[RunSettings], **changes: Any) -> tuple[Cohort, list[Probe]]:
    cohort = Cohort(small(**changes), runs, CPU)
    for _ in range(5):
        cohort.update(measure=False)
    return cohort, cohort.probe()


DIVERSITY: dict[str, Any] = {"a": {"head_diversity": 0.5}, "b": {}}
HELD_OUT = [RunSettings("a", 8, **DIVERSITY["a"]), RunSettings("b", 2, seed=1)]


def test_held_out_numbers_are_those_of_the_plain_model() -> None:
    """Over more sequences than train at once, which do not divide evenly."""
    cohort, probes = probed(HELD_OUT, eval_sequences=10)
    for model, probe in enumerate(probes):
        source = Source(cohort.tasks[model], cohort.seeds[model], 10, split="held_out")
        inputs, targets = source.batch(2)
        wanted = plain(cohort, model, **DIVERSITY[probe.run])
        assert probe.eval_sequences == 10
        assert probe.loss == pytest.approx(loss_of(wanted, inputs, targets).item(), abs=1e-6)
        right = wanted(inputs)[:, -targets.shape[1] :].argmax(-1) == targets
        assert probe.accuracy == pytest.approx(right.double().mean().item(), abs=1e-6)
        each = [loss_of(wanted, inputs[i : i + 1], targets[i : i + 1]).item() for i in range(10)]
        assert probe.loss_error == pytest.approx(np.std(each, ddof=1) / 10**0.5, rel=1e-4)


def test_a_common_stream_gives_all_seeds_the_same_inputs() -> None:
    _, (one, other) = probed(HELD_OUT)
    assert not np.array_equal(one.tokens, other.tokens)
    cohort, (one, other) = probed(HELD_OUT, probe_stream=7)
    assert np.array_equal(one.tokens, other.tokens)
    source = Source(cohort.tasks[0], 7, 3, split="held_out")
    assert np.array_equal(one.tokens, source.batch(1).inputs.numpy())


@pytest.mark.parametrize("sequences", [0, 6])
def test_a_head_is_ablated_by_the_columns_that_read_it(sequences: int) -> None:
    cohort, probes = probed(HELD_OUT, eval_sequences=sequences, ablate=True)
    for model, probe in enumerate(probes):
        heads = cohort.runs[model].heads
        source = Source(cohort.tasks[model], cohort.seeds[model], sequences or 3, split="held_out")
        inputs, targets = source.batch(2 if sequences else 1)
        assert probe.losses_without is not None
        assert probe.losses_without.shape == (2, heads)
        for layer in range(2):
            for head in range(heads):
                wanted = plain(cohort, model, **DIVERSITY[probe.run])
                width = 16 // heads
                with torch.no_grad():
                    block = wanted.layers[layer]
                    block.attn.out_proj.weight[:, head * width : (head + 1) * width] = 0  # type: ignore[union-attr]
                loss = loss_of(wanted, inputs, targets).item()
                assert probe.losses_without[layer, head] == pytest.approx(loss, abs=1e-6)
        assert len(set(probe.losses_without.flatten())) == 2 * heads


def size(x: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(x, dim=-1).detach()


def test_norms_are_those_of_attention_and_of_the_stream_it_is_added_to() -> None:
    cohort, probes = probed(HELD_OUT, norms=True)
    for model, probe in enumerate(probes):
        wanted = plain(cohort, model, **DIVERSITY[probe.run])
        norms: list[torch.Tensor] = []
        for block in wanted.layers:
            block.register_forward_pre_hook(lambda _, given, to=norms: to.append(size(given[0])))
            block.attn.register_forward_hook(lambda *given, to=norms: to.append(size(given[2])))
        wanted(torch.from_numpy(probe.tokens))
        gamma = torch.stack([a / (x + a) for x, a in zip(norms[::2], norms[1::2], strict=True)], 1)
        assert probe.gamma is not None
        assert probe.gamma.dtype == np.float32
        np.testing.assert_allclose(probe.gamma, gamma.numpy(), atol=1e-6)
    assert all(probe.gamma is None for probe in probed(HELD_OUT)[1])


@pytest.mark.parametrize("changes", [*CHANGED, {"head_width": 3}], ids=str)
def test_a_loaded_checkpoint_attends_as_it_was_trained_to(tmp_path: Path, changes: dict) -> None:
    events = train(
        small(steps=3), [RunSettings("a", 4, **changes)], device="cpu", directory=tmp_path
    )
    probe = of_kind(events, Probe)[-1]
    model = load_published(tmp_path / "checkpoints" / "a-00000003.safetensors")
    np.testing.assert_allclose(model.attention(probe.tokens), probe.attention, atol=1e-6)
