"""How a watched training ends: finished, interrupted, failed, left open, or in another process."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from typing import Any

import pytest

from synergy_tui.experiments.experiment import find_experiment
from synergy_tui.watch import watch
from tests.tui.watch.test_watch import Tiny, tokens


@pytest.mark.parametrize(
    ("error", "status", "code", "reason"),
    [
        (ZeroDivisionError("its own"), "failed", 3, "ZeroDivisionError: its own"),
        (KeyboardInterrupt(), "stopped", 130, "interrupted with Ctrl-C"),
        (SystemExit(7), "stopped", 143, "SystemExit: 7"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, BaseException) else "",
)
def test_what_the_training_raises_is_written_and_raised_further(
    error: BaseException, status: str, code: int, reason: str
) -> None:
    def train() -> None:
        with watch(Tiny(), tokens(), expect=["model.loss < 100"]) as w:
            w.step(7, loss=1.0)
            raise error

    with pytest.raises(type(error)):
        train()
    state = find_experiment("last").fold()
    run = state.runs["model"]
    assert (state.status, state.exit_code) == (status, code)
    assert (run.status, run.reason) == (status, reason)
    assert run.losses.tolist() == [1.0]  # though 7 is no multiple of log_every
    assert [probe.step for probe in run.probes] == [0]
    assert not state.expectations


def test_nothing_is_written_after_the_block() -> None:
    with watch(Tiny(), tokens(), log_every=1) as w:
        w.step(1, loss=1.0)
        assert w.active
    assert not w.active
    w.step(2, loss=1.0)
    assert find_experiment("last").fold().runs["model"].steps.tolist() == [1]


def test_a_watch_that_is_never_left_is_closed_when_the_process_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where the Trainer fails: it does not tell its callbacks."""
    kept: list[Callable[[], Any]] = []
    monkeypatch.setattr(atexit, "register", kept.append)
    monkeypatch.setattr(atexit, "unregister", kept.remove)
    with watch(Tiny(), tokens()):
        assert len(kept) == 1
    assert not kept
    watch(Tiny(), tokens()).__enter__().step(3, loss=1.0)
    (at_exit,) = kept
    at_exit()
    state = find_experiment("last").fold()
    run = state.runs["model"]
    assert (state.exit_code, run.status, run.step) == (143, "stopped", 3)
    assert "before its watch was closed" in run.reason


def test_forked_processes_do_not_write() -> None:
    with watch(Tiny(), tokens(), log_every=1) as w:
        child = os.fork()
        if not child:
            w.step(1, loss=1.0)
            w.__exit__(None, None, None)
            os._exit(w.active)
        assert os.waitpid(child, 0)[1] == 0
        assert w.experiment is not None
        assert w.experiment.state() == "running"
        w.step(2, loss=2.0)
    assert find_experiment("last").fold().runs["model"].steps.tolist() == [2]
