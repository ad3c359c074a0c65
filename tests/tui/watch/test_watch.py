"""Trainings of somebody's own: what is written, and that they are left as they are."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from synergy_tui.errors import UserError
from synergy_tui.experiments.experiment import (
    Experiment,
    create_experiment,
    find_experiment,
    list_experiments,
)
from synergy_tui.running.recorder import Recorder
from synergy_tui.running.worker import launch, stop
from synergy_tui.scenario import load_scenario
from synergy_tui.watch import watch
from synergy_tui.watch.examples import plain_loop
from tests.places import ROOT

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
    batch: Any = None,
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
        batch = tokens() if batch is None else batch
        with watch(model, batch, every=2, log_every=3, **options) as w:
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
    assert run.parameters == sum(each.numel() for each in Tiny().parameters())
    assert run.probes[0].overall["weights"] == "learned"
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


def test_mistakes_in_arguments_are_raised_at_once() -> None:
    with pytest.raises(ValueError, match="expect"):
        watch(Tiny(), tokens(), expect=["model.loss"])
    with pytest.raises(ValueError, match="every"):
        watch(Tiny(), tokens(), every=0)


def test_two_trainings_are_watched_at_once() -> None:
    with (
        watch(Tiny(), tokens(), name="a", log_every=1) as one,
        watch(Tiny(), tokens(), name="b", log_every=1) as two,
    ):
        for step in (1, 2):
            one.step(step, loss=1.0)
            two.step(step, loss=2.0)
    found = {each.scenario_name: each.fold().runs["model"] for each in list_experiments()}
    assert {name: run.losses.tolist() for name, run in found.items()} == {"a": [1, 1], "b": [2, 2]}
    assert {run.status for run in found.values()} == {"finished"}


def test_losses_are_written_while_a_probe_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    may_end, measured = threading.Event(), Recorder.probe

    def slow(self: Recorder, run: str, step: int, *given: Any, **more: Any) -> None:
        assert step == 0 or may_end.wait(60)
        measured(self, run, step, *given, **more)

    monkeypatch.setattr(Recorder, "probe", slow)
    with watch(Tiny(), tokens(), every=1, log_every=1) as w:
        for step in (1, 2, 3):
            w.step(step, loss=1 / step)
        w._recording.drain()
        assert w.experiment is not None
        run = w.experiment.fold().runs["model"]
        assert run.steps.tolist() == [1, 2, 3]
        assert [probe.step for probe in run.probes] in ([], [0])
        may_end.set()
    run = w.experiment.fold().runs["model"]
    assert [probe.step for probe in run.probes] == [0, 1, 2, 3]


def test_training_never_waits_for_a_probe_and_leaves_it_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("synergy_tui.watch.session.PROBES_AHEAD", 2)
    may_end, measured = threading.Event(), Recorder.probe

    def slow(*given: Any, **more: Any) -> None:
        assert may_end.wait(60)
        measured(*given, **more)

    monkeypatch.setattr(Recorder, "probe", slow)
    with watch(Tiny(), tokens(), every=1, steps=9) as w:
        for step in range(1, 10):  # the last is not left out
            w.step(step, loss=1.0)
        may_end.set()
        for step in (10, 11):  # there is room again
            w._measuring.drain()
            w.step(step)
    run = find_experiment("last").fold().runs["model"]
    assert [probe.step for probe in run.probes] == [0, 1, 9, 10, 11]
    assert run.total_steps == 9


def test_a_step_is_probed_once_however_often_it_is_reported() -> None:
    with watch(Tiny(), tokens(), every=2) as w:
        w.step(0, loss=9.0)  # of no update
        for step in (1, 1, 2, 2):
            w.step(step, loss=1.0)
        w.step(2)
    log = find_experiment("last").events_path.read_text().splitlines()
    probed = [event["step"] for event in map(json.loads, log) if event["kind"] == "probe"]
    assert probed == [0, 2]
    assert find_experiment("last").fold().runs["model"].steps.tolist() == []


def test_the_loss_that_a_model_returns_is_held_out() -> None:
    class Losing(Tiny):
        def forward(self, tokens: torch.Tensor) -> Any:
            return SimpleNamespace(logits=super().forward(tokens), loss=torch.tensor(0.25))

    with watch(Losing(), tokens()):
        pass
    probe = find_experiment("last").fold().runs["model"].probe
    assert probe is not None
    assert probe.loss == 0.25


def test_a_loss_is_not_kept_with_its_graph() -> None:
    with watch(Tiny(), tokens(), log_every=100) as w:
        loss = torch.ones(3, requires_grad=True).sum()
        kept = weakref.ref(loss)
        w.step(1, loss=loss)
        del loss
        assert kept() is None
    assert find_experiment("last").fold().runs["model"].losses.tolist() == [3.0]


@pytest.mark.parametrize("number", [np.float32, torch.tensor, lambda each: torch.tensor([each])])
def test_numbers_may_be_of_any_kind(number: Any) -> None:
    with watch(Tiny(), tokens(), log_every=1) as w:
        w.step(np.int64(1), loss=number(0.5), accuracy=number(0.25), tokens_per_second=8)
        w.step(torch.tensor(2), loss=number(math.nan))
    run = find_experiment("last").fold().runs["model"]
    assert run.steps.tolist() == [1, 2]
    assert run.losses[0] == 0.5
    assert math.isnan(run.losses[1])
    assert run.accuracies[0] == 0.25
    assert run.speed.values[0] == 8


def test_steps_that_start_again_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with watch(Tiny(), tokens(), log_every=1) as w:
        for _ in range(3):
            for step in (1, 2):
                w.step(step, loss=1.0)
    (warning,) = caplog.messages
    assert warning == "step 1 follows step 2: steps count all updates, over epochs"
    assert [each[2] for each in find_experiment("last").fold().warnings] == [warning]


def test_a_watch_that_was_not_entered_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    w = watch(Tiny(), tokens())
    w.step(1, loss=1.0)
    w.step(2, loss=1.0)
    (warning,) = caplog.messages
    assert "`with watch" in warning
    assert list_experiments() == []


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
    assert len(list_experiments()) == 1
    assert [each.name for each in first.scenario().runs] == ["model"]


def test_a_second_training_can_join_an_experiment() -> None:
    losses(True, expect=["model.loss < 100"])
    first = find_experiment("last")
    with watch(Tiny(), tokens(), run="other", into=first.id, expect=["other.loss < 1"]) as w:
        w.step(1, loss=2.0)
    state = first.fold()
    assert [each.name for each in first.scenario().runs] == ["model", "other"]
    assert [run.status for run in state.runs.values()] == ["finished", "finished"]
    assert {each["that"]: each["holds"] for each in state.expectations} == {
        "model.loss < 100": True,
        "other.loss < 1": False,
    }
    assert state.exit_code == 1


def test_only_watched_experiments_are_joined(caplog: pytest.LogCaptureFixture) -> None:
    ours = create_experiment(load_scenario(ROOT / "scenarios" / "example2.toml"))
    before = ours.scenario_path.read_text()
    assert losses(True, into=ours.id) == losses(False)
    assert "is not a watched training" in caplog.text
    assert ours.scenario_path.read_text() == before


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
    process = subprocess.Popen([sys.executable, "-c", TRAINING], cwd=ROOT)
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


@pytest.mark.parametrize("example", ["plain_loop", "hf_trainer"])
def test_examples_take_help(example: str) -> None:
    if example == "hf_trainer":
        pytest.importorskip("transformers")
    done = subprocess.run(
        [sys.executable, "-m", f"synergy_tui.watch.examples.{example}", "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "updates of the model" in done.stdout


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
