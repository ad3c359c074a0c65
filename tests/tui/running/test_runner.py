"""The runner in this process: what is written, and how runs end."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synergy_tui.experiments import kinds
from synergy_tui.experiments.attention import load_snapshot
from synergy_tui.experiments.events import EventReader
from synergy_tui.experiments.experiment import Experiment, create_experiment
from synergy_tui.experiments.kinds import KINDS
from synergy_tui.experiments.metrics import metric
from synergy_tui.experiments.verdict import scoreboard
from synergy_tui.running.preflight import check_inputs
from synergy_tui.running.runner import run_experiment
from synergy_tui.running.signals import Stopper
from synergy_tui.scenario import Scenario, ScenarioError, parse_scenario
from tests.recordings import SCENARIOS

TINY = {
    "seed": 3,
    "train": {
        "task": "copy", "length": 6, "vocabulary": 4, "steps": 12, "batch": 4, "embed": 8,
        "mlp": 8, "layers": 1, "probe_every": 6, "probe_inputs": 2, "checkpoint_every": 4,
    },
    "runs": [{"name": "one", "heads": 1}, {"name": "two", "heads": 2}],
    "expect": [{"that": "one.parameters == two.parameters"}],
}  # fmt: skip


def scenario_of(raw: dict[str, Any], name: str = "tiny") -> Scenario:
    return parse_scenario(raw, name=name, origin="test")


def make(tmp_path: Path, raw: dict[str, Any] = TINY) -> Experiment:
    return create_experiment(scenario_of(raw), tmp_path)


def execute(experiment: Experiment, **options: Any) -> int:
    return run_experiment(experiment, device="cpu", threads=1, **options)


def losses(experiment: Experiment) -> list[np.ndarray]:
    return [run.losses.copy() for run in experiment.fold().runs.values()]


def test_a_chosen_width_is_reported_once(tmp_path: Path) -> None:
    raw = {
        **TINY,
        "train": {**TINY["train"], "parameter_difference": 50},
        "runs": [
            {"name": "one", "heads": 1},
            {"name": "two", "heads": 2, "embed": 4, "mlp": "match"},
        ],
    }
    experiment = make(tmp_path, {**raw, "expect": []})
    assert execute(experiment, should_stop=Stopper(deadline=0.0)) == 3
    assert execute(experiment) == 0
    warnings = [message for _, _, message in experiment.fold().warnings]
    assert [message.partition(" →")[0] for message in warnings] == ["two: mlp 8"]


def test_a_training_is_logged_from_start_to_end(tmp_path: Path) -> None:
    experiment = make(tmp_path)
    heard: list[str] = []
    assert execute(experiment, listener=lambda event: heard.append(event["kind"])) == 0
    events = EventReader(experiment.events_path).read()
    assert [event["kind"] for event in events] == heard
    assert (heard[0], heard[-1]) == ("experiment_started", "experiment_finished")
    for event in events:
        described = [each.name for each in fields(KINDS[event["kind"]])]
        assert list(event) == ["v", "t", "kind", *described]
    for run in ("one", "two"):
        own = [event for event in events if event.get("run") == run]
        assert [e["step"] for e in own if e["kind"] == "train_step"] == list(range(1, 13))
        assert [e["step"] for e in own if e["kind"] == "probe"] == [0, 6, 12]
        assert [e["step"] for e in own if e["kind"] == "checkpoint"] == [4, 8, 12]
        probe = [e for e in own if e["kind"] == "probe"][-1]
        assert experiment.attention(probe["attention"])["attention"].shape[0] == 2
        assert "paper-code" in probe["conventions"]
        assert all((experiment.path / e["path"]).parent.is_dir() for e in own if "path" in e)
    times = [event["t"] for event in events]
    assert times == sorted(times)
    assert experiment.state() in ("finished", "running")  # this very process was the worker
    assert not (experiment.path / ".reserve").exists()


def test_everything_in_it_is_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        experiment = make(tmp_path)
        execute(experiment)
    finally:
        os.umask(before)
    for path in [experiment.path, *experiment.path.rglob("*")]:
        allowed = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) & ~allowed == 0, path


def test_a_stopped_training_goes_on_to_the_same_end(tmp_path: Path) -> None:
    whole = make(tmp_path)
    assert execute(whole) == 0
    parts = make(tmp_path)
    stopper = Stopper()

    def stop_at_5(event: dict[str, Any]) -> None:
        if event["kind"] == "train_step" and event["step"] == 5:
            stopper.request("enough", 143)

    assert execute(parts, should_stop=stopper, listener=stop_at_5) == 143
    state = parts.fold()
    assert (state.status, state.exit_code, state.expectations) == ("stopped", 143, [])
    assert {run.reason for run in state.runs.values()} == {"enough"}
    assert execute(parts) == 0
    for one, other in zip(losses(whole), losses(parts), strict=True):
        np.testing.assert_array_equal(one, other)
    kinds = [event["kind"] for event in EventReader(parts.events_path).read()]
    assert kinds.count("experiment_started") == 1
    assert kinds.count("run_resumed") == 2


def test_without_a_checkpoint_a_run_begins_again(tmp_path: Path) -> None:
    experiment = make(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        execute(experiment, listener=interrupt_at(3))
    assert experiment.fold().runs["one"].step == 3
    for file in experiment.checkpoints.glob("*"):
        file.unlink()
    assert execute(experiment) == 0
    np.testing.assert_array_equal(experiment.fold().runs["one"].steps, np.arange(1, 13))


def interrupt_at(step: int) -> Any:
    def listen(event: dict[str, Any]) -> None:
        if event["kind"] == "train_step" and event["step"] == step and event["run"] == "two":
            raise KeyboardInterrupt

    return listen


def test_a_time_limit_ends_with_3_and_can_be_resumed(tmp_path: Path) -> None:
    experiment = make(tmp_path)
    assert execute(experiment, should_stop=Stopper(deadline=0.0)) == 3
    state = experiment.fold()
    assert "time limit" in state.reason
    assert all(run.status == "stopped" for run in state.runs.values())
    assert state.expectations == []
    assert execute(experiment) == 0


def test_a_measurement_is_interrupted_and_made_again(tmp_path: Path) -> None:
    graph = {"topology": "sliding_window", "nodes": 600, "window": 4}
    raw = {"runs": [{"name": "drawn", "heads": 2, "graph": graph}]}
    plain, stopped = make(tmp_path, raw), make(tmp_path, raw)
    asked: list[None] = []
    assert execute(plain, should_stop=Stopper(asked=lambda: asked.append(None))) == 0
    assert len(asked) > 10
    stopper = Stopper()

    def limit() -> bool:
        if stopped.fold().runs["drawn"].status == "running":
            stopper.deadline = 0.0
        return False

    stopper.asked = limit
    assert execute(stopped, should_stop=stopper) == 3
    state = stopped.fold()
    assert (state.runs["drawn"].status, state.runs["drawn"].probe) == ("stopped", None)
    assert "time limit" in state.reason
    assert execute(stopped) == 0
    one, other = (each.fold().runs["drawn"].probe for each in (plain, stopped))
    assert one is not None
    assert other is not None
    assert one.overall == other.overall


def test_a_stop_that_comes_after_the_end_changes_nothing(tmp_path: Path) -> None:
    stopper = Stopper()

    def late(event: dict[str, Any]) -> None:
        if event["kind"] == "run_finished" and event["run"] == "two":
            stopper.request("too late", 143)

    assert execute(make(tmp_path), should_stop=stopper, listener=late) == 0


def test_a_failed_expectation_is_exit_code_1_with_both_sides(tmp_path: Path) -> None:
    raw = {**SCENARIOS["example2"], "expect": [{"that": "both.fidelity > 1/2"}]}
    experiment = make(tmp_path, raw)
    assert execute(experiment) == 1
    event = experiment.fold().expectations[0]
    assert (event["holds"], event["right"]) == (False, 0.5)
    assert event["left"] == pytest.approx(5 / 12)


def test_a_diverging_run_is_exit_code_3_and_the_others_end_well(tmp_path: Path) -> None:
    runs = [{"name": "one", "heads": 1}, {"name": "two", "heads": 2, "learning_rate": 1e30}]
    experiment = make(tmp_path, {**TINY, "runs": runs})
    assert execute(experiment) == 3
    state = experiment.fold()
    assert state.runs["two"].status == "failed"
    assert "learning_rate" in state.runs["two"].reason
    assert state.runs["one"].status == "finished"
    assert "Traceback" not in state.reason
    decided = [(event["that"], event["holds"]) for event in state.expectations]
    assert decided == [("one.parameters == two.parameters", True)]


def test_a_device_that_is_not_there_is_exit_code_2(tmp_path: Path) -> None:
    experiment = make(tmp_path)
    assert run_experiment(experiment, device="warp-drive") == 2
    assert "warp-drive" in experiment.fold().reason


def test_an_unexpected_error_is_told_and_traced_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("who would have thought")

    monkeypatch.setattr("synergy_tui.running.systems.build_system", explode)
    experiment = make(tmp_path, SCENARIOS["example2"])
    assert execute(experiment) == 3
    state = experiment.fold()
    assert "who would have thought" in state.reason
    assert "Traceback" in experiment.log_path.read_text()
    assert {run.status for run in state.runs.values()} == {"failed"}


def test_a_full_disk_for_attention_costs_the_file_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("synergy_tui.running.recorder.write_whole", full)
    experiment = make(tmp_path, SCENARIOS["example2"])
    assert execute(experiment) == 0
    state = experiment.fold()
    assert state.runs["both"].probe is not None
    assert state.runs["both"].probe.attention is None
    assert any("No space left" in message for _, _, message in state.warnings)


def test_a_full_disk_for_the_log_is_told_and_leaves_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = make(tmp_path)
    write = os.write

    def full_after_a_while(descriptor: int, data: bytes) -> int:
        if b'"step":7,' in data and b"train_step" in data:
            return write(descriptor, data[:10])
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", full_after_a_while)
    assert execute(experiment) == 3
    monkeypatch.undo()
    reader = EventReader(experiment.events_path)
    assert reader.read()[-1]["exit_code"] == 3
    assert reader.garbled == 0
    assert "disk is full" in experiment.fold().reason
    assert execute(experiment) == 0
    np.testing.assert_array_equal(experiment.fold().runs["one"].steps, np.arange(1, 13))


def test_identical_heads_amplify_by_exactly_1(tmp_path: Path) -> None:
    from synergy_tui.scenario import bundled, load_scenario

    experiment = create_experiment(load_scenario(bundled()["identical_heads"]), tmp_path)
    assert execute(experiment) == 0
    probe = experiment.fold().runs["identical"].probe
    assert probe is not None
    assert probe.overall["synergy"]["fidelity_amplification"] == 1.0


def test_evaluations_ablations_and_norms_are_kept(tmp_path: Path) -> None:
    train = {**TINY["train"], "eval_sequences": 5, "ablate": True, "norms": True}
    runs = [{"name": "one", "heads": 1}, {"name": "half", "heads": 2, "head_diversity": 0.5}]
    experiment = make(tmp_path, {**TINY, "train": train, "runs": runs, "expect": []})
    assert execute(experiment) == 0
    state = experiment.fold()
    half = state.runs["half"]
    assert (state.runs["one"].interventions, half.interventions) == ({}, {"head_diversity": 0.5})
    assert half.probe is not None
    assert half.probe.eval_sequences == 5
    assert metric(half, "loss") == half.probe.loss != metric(half, "training_loss")
    without = [metric(half, f"head{head}.loss_without") for head in (1, 2)]
    assert len({*without, half.probe.loss}) == 3
    board = {line.claim: line for line in scoreboard(state).lines}
    assert "diversity-loss" not in board, "no run differs in its heads' diversity only"
    assert board["synergy-clarity"].against.startswith("shuffled inputs: ")
    assert half.probes[0].step == 0, "the untrained network is measured"
    assert half.probes[0].whole["nulls"]["shuffled"]["beyond"]
    assert half.probe.attention is not None
    gamma = load_snapshot(experiment, half.probe.attention).gamma
    assert gamma is not None
    assert gamma.shape == (2, 1, 6)
    assert ((gamma > 0) & (gamma < 1)).all()


@pytest.fixture
def attention(tmp_path: Path) -> Path:
    rows = np.tril(np.random.default_rng(0).random((2, 3, 5, 5)))
    path = tmp_path / "attention.npy"
    np.save(path, rows / rows.sum(axis=-1, keepdims=True))
    return path


def loaded(path: Path, **fields: Any) -> dict[str, Any]:
    return {"runs": [{"name": "loaded", "attention": str(path), **fields}]}


def test_loaded_attention_is_measured(tmp_path: Path, attention: Path) -> None:
    experiment = make(tmp_path, loaded(attention, heads=3, weights=[1, 1, 2]))
    assert execute(experiment) == 0
    run = experiment.fold().runs["loaded"]
    assert (run.kind, run.heads, run.layers, run.nodes) == ("loaded", 3, 2, 5)
    assert run.probe is not None
    assert len(run.probe.layers) == 2
    assert run.probe.layers[0]["head_weights"] == [0.25, 0.25, 0.5]


def test_what_was_guessed_about_loaded_attention_is_a_warning(
    tmp_path: Path, attention: Path
) -> None:
    """As `synergy analyze` prints it; axes that scenarios document are no guess."""
    values = np.zeros((2, 3, 7, 7))
    values[..., :5, :5] = np.load(attention)
    padded, heads, inputs = (tmp_path / name for name in ("padded.npy", "heads.npy", "inputs.npz"))
    np.save(padded, values)
    np.save(heads, np.load(attention)[0])
    np.savez(inputs, **{f"layer_{layer}": np.load(attention) for layer in range(2)})
    for file, wanted in (
        (attention, []),
        (heads, []),
        (padded, ["padding on the right recognised"]),
        (inputs, ["axes of each layer taken to be B,H,n,n: 2 inputs, 2 layers"]),
    ):
        experiment = make(tmp_path / file.stem, loaded(file))
        assert execute(experiment) == 0
        state = experiment.fold()
        assert state.runs["loaded"].nodes == 5
        messages = [message for _, _, message in state.warnings]
        assert len(messages) == len(wanted)
        assert all(words in message for words, message in zip(wanted, messages, strict=True))
        assert not any("lengths" in message for message in messages), "no option of a scenario"


def test_a_trained_checkpoint_is_loaded_and_measured(tmp_path: Path) -> None:
    trained = make(tmp_path)
    assert execute(trained) == 0
    checkpoint = trained.path / trained.fold().runs["two"].checkpoints[-1][1]
    runs = [{"name": "again", "checkpoint": str(checkpoint), "heads": 2}]
    experiment = make(tmp_path, {**TINY, "runs": runs, "expect": []})
    assert execute(experiment) == 0
    again, probe = experiment.fold().runs["again"].probe, trained.fold().runs["two"].probe
    assert again is not None
    assert probe is not None
    assert again.overall["fidelity"]["minimax"] == pytest.approx(
        probe.overall["fidelity"]["minimax"], rel=1e-4
    )


def test_a_loaded_checkpoint_is_measured_on_the_stream_that_all_share(tmp_path: Path) -> None:
    train = {**TINY["train"], "probe_stream": 5}
    trained = make(tmp_path, {**TINY, "train": train})
    assert execute(trained) == 0
    checkpoint = trained.path / trained.fold().runs["two"].checkpoints[-1][1]
    runs = [{"name": "again", "checkpoint": str(checkpoint)}]
    loaded = make(tmp_path, {**TINY, "train": train, "runs": runs, "expect": []})
    assert execute(loaded) == 0
    tokens = []
    for experiment, name in ((trained, "two"), (loaded, "again")):
        probe = experiment.fold().runs[name].probe
        assert probe is not None
        assert probe.attention is not None
        tokens.append(load_snapshot(experiment, probe.attention).tokens)
    np.testing.assert_array_equal(*tokens)


@pytest.mark.parametrize("wrong", ["nan", "negative", "rows", "missing", "garbage", "heads"])
def test_files_that_cannot_be_used_are_refused_before_anything_runs(
    attention: Path, wrong: str
) -> None:
    values = np.load(attention)
    if wrong == "nan":
        values[0, 0, 2, 1] = np.nan
    elif wrong == "negative":
        values[0, 0, 2, 1] = -1
    elif wrong == "rows":
        values *= 2
    np.save(attention, values)
    if wrong == "missing":
        attention.unlink()
    elif wrong == "garbage":
        attention.write_bytes(b"\x93NUMPY garbage")
    scenario = scenario_of(loaded(attention, **({"heads": 7} if wrong == "heads" else {})))
    with pytest.raises(ScenarioError) as caught:
        check_inputs(scenario)
    assert int(caught.value.exit_code) == 2
    for problem in caught.value.problems:
        assert (problem.path, problem.value) == (("runs", 0, "attention"), str(attention))
        assert "rows=" not in problem.message


@pytest.mark.parametrize(
    ("kind", "added"), [("RunStarted", {"kind_of_run", "note"}), ("TrainStep", set())]
)
def test_the_log_has_every_key_that_the_trainer_gives(kind: str, added: set[str]) -> None:
    """The recorder copies fields by name: one that is renamed on one side must not get lost."""
    from synergy_trainer import events

    logged = {each.name for each in fields(getattr(kinds, kind))}
    assert logged - {each.name for each in fields(getattr(events, kind))} == added


def test_equal_runs_have_equal_files(tmp_path: Path) -> None:
    """In two processes: what is in no order differs from one to the next."""
    here, there = (make(tmp_path / name, {**TINY, "analysis": {"keep": "all"}}) for name in "ab")
    done = subprocess.run(
        [sys.executable, "-m", "synergy_tui.running.worker", str(there.path), "--device=cpu",
         "--threads=1"], env={**os.environ, "PYTHONHASHSEED": "12345"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert execute(here) == 0
    made = []
    for experiment in (here, there):
        files = [*experiment.path.glob("attention/*"), *experiment.path.glob("checkpoints/*")]
        made.append({path.name: path.read_bytes() for path in files})
    assert len(made[0]) >= 8
    assert made[0] == made[1]
