"""The trainer against the plain way, as paired ratios in one process.

Run: `OMP_NUM_THREADS=2 pytest -s tests/benchmarks/test_bench_trainer.py`. The plain way
(`tests/trainer/plain.py`): explicit softmax attention, a DataLoader, Adam, `.item()` at each step,
one model at a time. Times alternate (plain, ours, plain, …) and the median of the ratios counts,
so that other load on the machine falls on both. Sizes of the paper: 4 layers, embedding 64, MLP
128, length 100, vocabulary 256, batch 50; its dropout is 0.1.

Each test fails only when ours is slower (or a stated limit is passed), since how much faster
depends on the machine; what was reached is printed beside what is aimed at.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

from synergy_trainer import Probe, RunSettings, TrainSettings, TrainStep, train
from synergy_trainer.attend.attention import attend
from synergy_trainer.attend.dropout import Drops
from synergy_trainer.attend.lanes import compiled_kernels
from synergy_trainer.attend.products import onednn, onednn_serves
from synergy_trainer.cohort import Cohort, gather
from synergy_trainer.data import Source
from tests.trainer.plain import PlainTransformer, train_plainly

CPU = torch.device("cpu")
PAPER = TrainSettings(
    task="copy", length=100, vocabulary=256, batch=50, embed=64, mlp=128, layers=4, dropout=0.1
)
LITTLE = TrainSettings(task="copy", length=32, vocabulary=16, batch=4, embed=64, mlp=128, layers=2)
MAIN = TrainSettings(
    task="sort", length=33, vocabulary=16, batch=64, layers=1, learning_rate=2e-3, steps=200
)


@pytest.fixture(autouse=True)
def _two_threads() -> None:
    torch.set_num_threads(2)


def seconds(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def compare(
    what: str, slow: Callable[[], object], fast: Callable[[], object], aim: float, rounds: int = 9
) -> float:
    """Median of paired ratios; prints medians in milliseconds too."""
    slow(), fast()
    pairs = [(seconds(slow), seconds(fast)) for _ in range(rounds)]
    ratio = statistics.median(one / other for one, other in pairs)
    before, after = (1e3 * statistics.median(side) for side in zip(*pairs, strict=True))
    print(f"\n{what}: {before:.1f} ms → {after:.1f} ms, {ratio:.2f}× (aim: {aim}×)")
    return ratio


def plain_like(cohort: Cohort, model: int, dropout: float) -> PlainTransformer:
    shape = cohort.shape
    plain = PlainTransformer(
        shape.tokens, shape.length, shape.embed, shape.mlp, shape.layers,
        cohort.runs[model].heads, dropout,
    )  # fmt: skip
    plain.load_state_dict(cohort.stack.state(model))
    return plain


@pytest.mark.parametrize(("heads", "aim"), [(1, 2.0), (4, 3.0), (16, 4.0)])
@pytest.mark.parametrize("dropout", [0.1, 0.0])
def test_step_at_the_sizes_of_the_paper(heads: int, aim: float, dropout: float) -> None:
    settings = replace(PAPER, dropout=dropout)
    cohort = Cohort(settings, [RunSettings("a", heads)], CPU)
    plain = plain_like(cohort, 0, dropout)
    batch = Source(cohort.tasks[0], 0, 2 * settings.batch).batch(1)

    def ours() -> None:
        for _ in range(2):
            found = cohort.update(measure=True)
            assert found is not None
            found.of(cohort.names)

    ratio = compare(
        f"2 steps, {heads} heads, dropout {dropout}",
        lambda: train_plainly(plain, batch.inputs, batch.targets, settings.batch, 1e-3),
        ours,
        aim,
    )
    assert ratio > 1.0


def median(action: Callable[[], object], rounds: int = 9) -> float:
    action()
    return 1e3 * statistics.median(seconds(action) for _ in range(rounds))


def attention_at_the_sizes_of_the_paper(heads: int, dropout: float) -> Callable[[], object]:
    """One layer's attention, there and back."""
    qkv = torch.randn(1, PAPER.batch, PAPER.length, 3, heads, PAPER.embed // heads)
    qkv.requires_grad_()
    drops = Drops(torch.tensor([1]), dropout) if dropout else None
    gradient = torch.randn(qkv[:, :, :, 0].shape)
    return lambda: torch.autograd.grad(attend(qkv, drops), qkv, gradient)


@pytest.mark.parametrize("heads", [1, 4, 16])
def test_where_a_step_spends_its_time(heads: int) -> None:
    """The products of one step at the paper's sizes, its attention, and nothing else."""
    layers, products = PAPER.layers, 0.0
    with onednn() if onednn_serves(rounding=False) else nullcontext():
        for fan_in, fan_out, times in (
            (64, 192, layers), (64, 64, layers), (64, 128, layers), (128, 64, layers), (64, 256, 1),
        ):  # fmt: skip
            x, weight = (
                torch.randn(PAPER.batch * PAPER.length, fan_in),
                torch.randn(fan_out, fan_in),
            )
            made, to_weight = torch.randn(len(x), fan_out), torch.empty(fan_out, fan_in)
            products += times * median(lambda: torch.mm(x, weight.T, out=made))  # noqa: B023
            products += times * median(lambda: torch.mm(made, weight, out=x))  # noqa: B023
            products += times * median(lambda: torch.mm(made.T, x, out=to_weight))  # noqa: B023
        dropped, whole = (
            layers * median(attention_at_the_sizes_of_the_paper(heads, p)) for p in (0.1, 0.0)
        )
        cohort = Cohort(PAPER, [RunSettings("a", heads)], CPU)
        step = median(lambda: cohort.update(measure=True))
    print(
        f"\n{heads} heads, a step of {step:.1f} ms: products outside attention {products:.1f}, "
        f"attention {dropped:.1f} (without dropout {whole:.1f})"
    )


@pytest.mark.parametrize("heads", [4, 8, 16])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_narrow_heads_against_a_matrix_library(
    heads: int, dropout: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attention of one layer at the paper's sizes, by compiled kernels and written out."""
    if compiled_kernels() is None:
        pytest.skip("no Numba")
    there_and_back = attention_at_the_sizes_of_the_paper(heads, dropout)

    def explicitly() -> None:
        with monkeypatch.context() as patch:
            patch.setattr("synergy_trainer.attend.attention.WIDEST", 0)
            there_and_back()

    with onednn() if onednn_serves(rounding=False) else nullcontext():
        ratio = compare(
            f"attention of {heads} heads, dropout {dropout}, written out against kernels",
            explicitly,
            there_and_back,
            1.5,
            rounds=15,
        )
    assert ratio > 1.0


@pytest.mark.parametrize("heads", [1, 16])
def test_trajectory_at_the_sizes_of_the_paper(heads: int) -> None:
    """Thirty losses agree with the plain ones to 1e-4 (without dropout, which draws its own)."""
    settings = replace(PAPER, dropout=0.0, steps=30, probe_every=0)
    runs = [RunSettings("a", heads)]
    cohort = Cohort(settings, runs, CPU)
    plain = plain_like(cohort, 0, 0.0)
    batches = [Source(cohort.tasks[0], 0, settings.batch).batch(step) for step in range(1, 31)]
    inputs, targets = (torch.cat(parts) for parts in zip(*batches, strict=True))
    wanted = [loss for loss, _ in train_plainly(plain, inputs, targets, 50, 1e-3)]
    found = [
        event.loss for event in train(settings, runs, device="cpu") if isinstance(event, TrainStep)
    ]
    apart = max(abs(one - other) for one, other in zip(wanted, found, strict=True))
    print(
        f"\n{heads} heads: 30 losses from {wanted[0]:.3f} to {wanted[-1]:.3f} differ by {apart:.1e}"
    )
    assert apart < 1e-4


@pytest.mark.parametrize(
    ("what", "settings", "heads", "aim"),
    [
        ("16 models, batch 4, length 32", LITTLE, [1, 2, 4, 8] * 4, 3.5),
        ("16 models of 4 heads, batch 4, length 32", LITTLE, [4] * 16, 3.5),
        ("main scenario, 2 models", MAIN, [1, 8], 1.0),
        ("the paper's 4 models", PAPER, [1, 4, 8, 16], 1.0),
    ],
    ids=["little", "little-equal", "main", "paper"],
)
def test_ensemble_against_one_after_another(
    what: str, settings: TrainSettings, heads: list[int], aim: float
) -> None:
    runs = [RunSettings(str(at), count, seed=at) for at, count in enumerate(heads)]
    together = gather(settings, runs, CPU)
    alone = [Cohort(settings, [run], CPU) for run in runs]
    plain = [plain_like(cohort, 0, settings.dropout) for cohort in alone]
    batch = Source(alone[0].tasks[0], 0, settings.batch).batch(1)
    ratio = compare(
        f"ensemble of {what}, against ours one after another",
        lambda: [cohort.update(measure=True) for cohort in alone],
        lambda: [cohort.update(measure=True) for cohort in together],
        aim,
    )
    compare(
        f"ensemble of {what}, against the plain way",
        lambda: [
            train_plainly(model, batch.inputs, batch.targets, settings.batch, 1e-3)
            for model in plain
        ],
        lambda: [cohort.update(measure=True) for cohort in together],
        aim,
        rounds=3,
    )
    assert ratio > (0.95 if aim == 1.0 else 1.0)


@pytest.mark.parametrize("settings", [MAIN, replace(PAPER, steps=20)], ids=["main", "paper"])
def test_probing_costs_little(settings: TrainSettings) -> None:
    """At the default cadence, every 20 steps; a fiftieth of the training time is aimed at."""
    runs = [RunSettings("single", 1), RunSettings("multi", 8)]
    training = probing = 0.0
    for _ in range(2):  # the first round warms up
        training = probing = 0.0
        last = time.perf_counter()
        for event in train(settings, runs, device="cpu"):
            now = time.perf_counter()
            if isinstance(event, Probe) and event.step > 0:
                probing += now - last
            elif isinstance(event, TrainStep):
                training += now - last
            last = now
    print(f"\nprobing took {probing / training:.1%} of the training time (aim: 2 %; limit: 10 %)")
    assert probing < 0.1 * training
