"""Trainings that cannot be watched, or only for their losses, are unharmed, and it is said why."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from synergy_tui.experiments.experiment import find_experiment
from synergy_tui.running.recorder import Recorder
from synergy_tui.watch import watch
from tests.tui.watch.test_watch import LENGTH, Tiny, losses, tokens


class Both(nn.Module):
    """An encoder, whose attention is not causal, and a decoder."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 8)
        self.inner = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens)
        mask = nn.Transformer.generate_square_subsequent_mask(LENGTH)
        return self.head(self.inner(x, x, tgt_mask=mask))


class Bidirectional(Tiny):
    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        heard = functional.scaled_dot_product_attention(*self.parts(tokens))
        return self.head(self.attn["c_proj"](heard.transpose(1, 2).flatten(2)))


@pytest.mark.parametrize(
    ("made", "batch", "words"),
    [
        (Both, None, "not causal: positions see later ones; attention=, a function"),
        (Bidirectional, None, "not causal"),
        (Tiny, tokens().tolist(), "cannot be run on the probe batch: TypeError: "),
        (Tiny, tokens().double(), "cannot be run on the probe batch: RuntimeError: "),
    ],
)
def test_trainings_whose_attention_cannot_be_measured_are_unharmed(
    made: Callable[[], nn.Module], batch: Any, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    def made_again(_: nn.Module) -> nn.Module:
        torch.manual_seed(1)
        return made()

    plain = losses(False, wrap=made_again)
    assert losses(True, wrap=made_again, batch=batch) == plain
    (message,) = caplog.messages
    assert message.startswith("model: attention is not measured: ")
    assert words in message
    state = find_experiment("last").fold()
    assert f"model: {state.warnings[0][2]}" == message
    assert state.runs["model"].losses.tolist() == [plain[2], plain[5], plain[6]]


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


def test_attention_that_the_engine_refuses_costs_a_probe() -> None:
    given = np.zeros((2, 1, 3, 3))
    given[..., 0] = 1
    given[1, 0, 2] = [-1, 1, 1]
    with watch(nn.Linear(1, 1), torch.zeros(1), attention=lambda *_: given, every=1) as w:
        w.step(1)
        given[1, 0, 2] = [1, 0, 0]
        w.step(2)
    state = find_experiment("last").fold()
    assert state.status == "finished"
    assert [probe.step for probe in state.runs["model"].probes] == [2]
    assert state.runs["model"].probe is not None
    assert state.runs["model"].probe.overall["weights"] == "uniform"
    assert state.warnings
    assert all("negative" in message for _, _, message in state.warnings)


@pytest.mark.parametrize(
    ("failing", "probed", "words"),
    [
        ({3}, [0, 1, 2, 4, 5, 6, 7], ["step 3: "]),
        ({2, 3, 5, 6}, [0, 1, 4, 7], ["step 2: ", "step 5: "]),
        ({3, 4, 5}, [0, 1, 2], ["step 3: ", "no longer measured: "]),
        ({7}, [0, 1, 2, 3, 4, 5, 6, 7], ["step 7: "]),  # and again when the block is left
    ],
)
def test_a_probe_that_fails_is_tried_again_at_the_next_step(
    failing: set[int], probed: list[int], words: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[int] = []

    def attention(model: nn.Module, batch: torch.Tensor) -> np.ndarray:
        step = len(tried)
        tried.append(step)
        if step in failing:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return np.array([[[[1.0, 0.0], [0.5, 0.5]]]])

    model = nn.Linear(1, 1)
    with watch(model, torch.zeros(1), attention=attention, every=1, log_every=1) as w:
        for step in range(1, 8):
            w.step(step, loss=1.0)
    state = find_experiment("last").fold()
    assert (state.status, state.runs["model"].step) == ("finished", 7)
    assert [probe.step for probe in state.runs["model"].probes] == probed
    assert len(caplog.messages) == len(state.warnings) == len(words)
    for message, word in zip(caplog.messages, words, strict=True):
        assert word in message
        assert "OutOfMemoryError: CUDA out of memory" in message


def test_a_probe_too_large_to_measure_costs_a_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = Recorder.probe

    def probe(recorder: Recorder, run: str, step: int, *found: Any, **more: Any) -> None:
        if step == 2:
            raise MemoryError
        measured(recorder, run, step, *found, **more)

    monkeypatch.setattr(Recorder, "probe", probe)
    losses(True)
    state = find_experiment("last").fold()
    assert [each.step for each in state.runs["model"].probes] == [0, 4, 6, 7]
    assert [text for _, _, text in state.warnings] == [
        "probe at step 2: there was not enough memory to measure it"
    ]


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
    with find_experiment("last").lock():
        pass  # it is free, though this process lives


def test_a_log_is_closed_where_watching_cannot_continue(caplog: pytest.LogCaptureFixture) -> None:
    with watch(Tiny(), tokens(), log_every=1) as w:
        w.step(1, loss=1.0)
        w.step(2, loss=torch.ones(3))
        assert not w.active
        w.step(3, loss=1.0)
    (message,) = caplog.messages
    assert message.startswith("watching has stopped, training continues: ")
    state = find_experiment("last").fold()
    run = state.runs["model"]
    assert (run.status, run.reason, run.steps.tolist()) == ("stopped", message, [1])
    assert [probe.step for probe in run.probes] == [0]
