"""Trainings of somebody's own: what is written, and that they are left as they are."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from synergy_tui.errors import UserError
from synergy_tui.experiments.experiment import Experiment, find_experiment, list_experiments
from synergy_tui.running.worker import launch, stop
from synergy_tui.watch import watch
from synergy_tui.watch.examples import plain_loop
from synergy_tui.watch.extract import Extractor, NoAttentionError

LENGTH = 6


class Tiny(nn.Module):
    """One layer of attention with dropout around it; `explicit` says what attention is."""

    def __init__(self, heads: int = 2, width: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.embed = nn.Embedding(5, width)
        self.attn = nn.ModuleDict(
            {"qkv": nn.Linear(width, 3 * width), "c_proj": nn.Linear(width, width)}
        )
        self.dropout = nn.Dropout(0.3)
        self.frozen = nn.BatchNorm1d(LENGTH).eval()
        self.head = nn.Linear(width, 5)

    def parts(self, tokens: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = self.dropout(self.embed(tokens))
        parts = self.attn["qkv"](x).chunk(3, dim=-1)
        return tuple(each.unflatten(-1, (self.heads, -1)).transpose(1, 2) for each in parts)

    def explicit(self, tokens: torch.Tensor) -> torch.Tensor:
        query, key, _ = self.parts(tokens)
        scores = query @ key.mT / math.sqrt(query.shape[-1])
        later = torch.ones(LENGTH, LENGTH).triu(1).bool()
        return torch.exp(scores.masked_fill(later, -math.inf)) / torch.exp(
            scores.masked_fill(later, -math.inf)
        ).sum(-1, keepdim=True)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        heard = functional.scaled_dot_product_attention(*self.parts(tokens), is_causal=True)
        return self.head(self.frozen(self.attn["c_proj"](heard.transpose(1, 2).flatten(2))))


def tokens(inputs: int = 3) -> torch.Tensor:
    return torch.randint(5, (inputs, LENGTH), generator=torch.Generator().manual_seed(1))


def losses(
    watched: bool,
    steps: int = 7,
    wrap: Callable[[nn.Module], nn.Module] = nn.Module.train,
    **options: Any,
) -> list[float]:
    """Train a tiny model, watched or not, and return its losses."""
    torch.manual_seed(0)
    model, found = wrap(Tiny()), []
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)

    def loop(step_done: Any) -> None:
        for step in range(1, steps + 1):
            inputs = torch.randint(5, (4, LENGTH))
            loss = functional.cross_entropy(model(inputs).flatten(0, 1), inputs.flatten())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            found.append(float(loss))
            step_done(step, loss)

    if watched:
        with watch(model, tokens(), every=2, log_every=3, **options) as w:
            loop(w.step)
    else:
        loop(lambda step, loss: None)
    return found


def test_a_watched_training_is_the_same_bit_by_bit_and_its_log_is_complete() -> None:
    plain = losses(False)
    assert losses(True, expect=["model.loss < 100", "model.fidelity >= 0"]) == plain
    experiment = find_experiment("last")
    state = experiment.fold()
    run = state.runs["model"]
    assert (experiment.state(), state.exit_code, run.kind) == ("finished", 0, "watched")
    assert [probe.step for probe in run.probes] == [0, 2, 4, 6, 7]
    assert run.steps.tolist() == [3, 6, 7]
    assert run.losses.tolist() == [plain[2], plain[5], plain[6]]
    assert (run.heads, run.layers, run.nodes) == (2, 1, LENGTH)
    assert [event["holds"] for event in state.expectations] == [True, True]
    assert not state.warnings


class Checkpointed(nn.Module):
    """Computes activations twice, with the same random numbers for dropout."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return checkpoint(self.inner, tokens, use_reentrant=False)


def compiled(model: nn.Module) -> Any:
    torch.compiler.reset()
    return torch.compile(model, backend="eager")


@pytest.mark.parametrize("wrap", [Checkpointed, compiled, nn.DataParallel])
def test_wrapped_modules_train_the_same_bit_by_bit(wrap: Any) -> None:
    plain, before = losses(False, wrap=wrap), dict(counters["stats"])
    again, alone = losses(False, wrap=wrap), counters["stats"]["unique_graphs"]
    assert losses(True, wrap=wrap) == again == plain
    # A probe compiles nothing: it adds no graph to those of the training.
    added = alone - before.get("unique_graphs", 0)
    assert counters["stats"]["unique_graphs"] - alone == added
    state = find_experiment("last").fold()
    assert [probe.step for probe in state.runs["model"].probes] == [0, 2, 4, 6, 7]
    assert not state.warnings


def test_modes_of_single_modules_are_put_back() -> None:
    model = Tiny().train()
    model.frozen.eval()
    Extractor(model, tokens())()
    assert model.training
    assert model.dropout.training
    assert not model.frozen.training


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


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel])
def test_wrappers_are_looked_into(wrap: Any) -> None:
    model = Tiny()
    found = Extractor(wrap(model), tokens())().snapshot.attention
    assert (found == Extractor(model, tokens())().snapshot.attention).all()


def test_a_function_may_give_the_attention() -> None:
    given = np.broadcast_to(np.eye(4, dtype=np.float32), (2, 3, 4, 4))
    found = Extractor(nn.Linear(1, 1), torch.zeros(1), lambda model, batch: [given, given])()
    assert found.snapshot.attention.shape == (2, 2, 3, 4, 4)
    assert not found.learned


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


def test_a_model_without_attention_is_watched_for_its_losses(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with watch(nn.Linear(2, 2), torch.zeros(1, 2), log_every=1) as w:
        for step in range(1, 4):
            w.step(step, loss=1 / step)
    assert len(caplog.records) == 1
    state = find_experiment("last").fold()
    assert state.status == "finished"
    assert state.runs["model"].losses.tolist() == [1, 1 / 2, 1 / 3]
    assert "attention=" in state.warnings[0][2]


def test_nothing_of_ours_is_raised_into_the_training(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert losses(True, out=tmp_path / "file") == losses(False)
    assert len(caplog.records) == 1
    caplog.clear()

    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("synergy_tui.experiments.events.EventWriter._append", full)
    assert losses(True) == losses(False)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_what_the_training_raises_is_written_and_raised_further() -> None:
    def train() -> None:
        with watch(Tiny(), tokens()) as w:
            w.step(1, loss=1.0)
            raise ZeroDivisionError("of the user's own")

    with pytest.raises(ZeroDivisionError):
        train()
    state = find_experiment("last").fold()
    assert (state.status, state.exit_code) == ("failed", 3)
    assert state.runs["model"].reason == "ZeroDivisionError: of the user's own"


def test_mistakes_in_arguments_are_raised_at_once() -> None:
    with pytest.raises(ValueError, match="expect"):
        watch(Tiny(), tokens(), expect=["model.loss"])
    with pytest.raises(ValueError, match="every"):
        watch(Tiny(), tokens(), every=0)


def test_only_rank_0_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    assert losses(True) == losses(False)
    assert list_experiments() == []


def test_a_training_is_continued_in_its_own_experiment() -> None:
    losses(True)
    first = find_experiment("last")
    with watch(Tiny(), tokens(), into=first.id, start=4, log_every=1) as w:
        w.step(5, loss=0.5)
    run = first.fold().runs["model"]
    assert run.steps.tolist() == [3, 5]
    assert [probe.step for probe in run.probes] == [0, 2, 4, 5]
    assert list_experiments() == [first] or len(list_experiments()) == 1


def test_nobody_signals_resumes_or_removes_a_watched_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tests.tui.commands.conftest import invoke

    with watch(Tiny(), tokens()):
        experiment = find_experiment("last")
        assert experiment.state() == "running"
        worker = experiment.writer
        assert worker is not None
        assert worker.pid == os.getpid()
        assert not worker.stop(experiment.path)  # had it sent SIGTERM, this test would end here
        for action in (stop, launch):
            with pytest.raises(UserError, match="your own training"):
                action(experiment)
        for command in (["stop"], ["resume", "--no-ui"], ["rm", "--yes"]):
            done = invoke(*command, "last")
            assert done.exit_code == 2
            assert "your own training" in done.stderr
    assert experiment.state() == "finished"


TRAINING = """
import time
from tests.tui.watch.test_watch import Tiny, tokens
from synergy_tui.watch import watch
with watch(Tiny(), tokens(), every=1, log_every=1) as w:
    for step in range(1, 10_000):
        w.step(step, loss=1 / step)
        time.sleep(0.02)
"""


@pytest.mark.slow
def test_a_killed_training_leaves_a_log_that_can_be_read(home: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", TRAINING], cwd=Path(__file__).parents[3])
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            found = list_experiments()
            log = found[0].events_path if found else home
            if log.is_file() and '"step":5' in log.read_text():
                break
            time.sleep(0.1)
        assert found[0].state() == "running"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    experiment = Experiment(found[0].path)
    assert experiment.state() == "dead"
    run = experiment.fold().runs["model"]
    assert run.step >= 5
    assert run.status == "stopped"
    with pytest.raises(UserError, match="your own training"):
        launch(experiment)
    for line in experiment.events_path.read_text().splitlines():
        json.loads(line)


def test_the_plain_example_runs() -> None:
    plain_loop.main(20)
    state = find_experiment("last").fold()
    assert state.exit_code == 0
    assert state.runs["model"].heads == plain_loop.HEADS
    assert [probe.step for probe in state.runs["model"].probes] == [0, 20]


def test_the_trainer_example_runs() -> None:
    pytest.importorskip("transformers", reason="the example needs transformers")
    pytest.importorskip("accelerate", reason="the Trainer needs accelerate")
    from synergy_tui.watch.examples import hf_trainer

    hf_trainer.main(20)
    run = find_experiment("last").fold().runs["model"]
    assert run.status == "finished"
    assert run.total_steps == 20
    assert run.steps.tolist() == [10, 20]
    assert [probe.step for probe in run.probes] == [0, 20]
    assert run.probes[0].loss == pytest.approx(math.log(hf_trainer.SYMBOLS), rel=0.1)
