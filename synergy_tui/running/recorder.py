"""Turns what the trainer reports and the engine measures into events and attention files."""

from __future__ import annotations

import datetime
import errno
import importlib.metadata
import platform
import threading
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import numpy as np

from synergy_tui.errors import ExitCode
from synergy_tui.experiments import kinds
from synergy_tui.experiments.attention import Snapshot
from synergy_tui.experiments.events import EventWriter
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.experiments.metrics import metric
from synergy_tui.experiments.retention import Retention
from synergy_tui.experiments.state import ExperimentState
from synergy_tui.files import DIRECTORY_MODE, write_whole
from synergy_tui.machine import describe_machine
from synergy_tui.scenario import Scenario, WatchedRun, expect
from synergy_tui.words import AtLeast, Value

if TYPE_CHECKING:
    import synergy_trainer as trainer
    from synergy_engine import MultiHeadSystem
    from synergy_tui.experiments.analysis import Analysis
    from synergy_tui.running.systems import Loaded

K = TypeVar("K", bound=kinds.Kind)

VERSIONED = ("synergy-heads", "torch", "numpy", "numba", "scipy")
# Disks that are full or over quota; every other error of the system is reported as it is.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Larger graphs are not kept: the log stays small, and the engine can draw them again.
LARGEST_KEPT = 64 * 2**20
SHUFFLES = 2
"""Times that heads are shuffled over inputs at a probe, to know what any heads would gain."""


class Recorder:
    """Writes one experiment, whose lock the caller holds; ``state`` follows what is written.

    One thread may measure while another writes events.
    """

    def __init__(
        self,
        experiment: Experiment,
        scenario: Scenario,
        writer: EventWriter,
        state: ExperimentState | None = None,
    ) -> None:
        self.experiment = experiment
        self.scenario = scenario
        self.state = state or ExperimentState()
        self._retention = Retention(experiment, scenario.analysis.keep)
        self._retention.follow(self.state)
        self.details: list[str] = []
        """For the worker's log: what failures were, in the exceptions' own words."""
        self._writer = writer
        self._writing = threading.Lock()  # so that the state follows in the order of the log
        self._handlers: dict[str, Callable[[Any], None]] = {
            "RunStarted": self._run_started,
            "TrainStep": self._train_step,
            "Probe": self._probe,
            "Checkpoint": self._checkpoint,
            "Warned": lambda event: self.warn(event.message, event.run),
            "RunFinished": lambda event: self.end("finished", event.run, event.step),
            "RunStopped": lambda event: self.end("stopped", event.run, event.step, event.reason),
            "RunFailed": self._run_failed,
        }

    def write(self, event: kinds.Kind) -> None:
        """Append an event and fold it into :attr:`state`."""
        with self._writing:
            self.state.apply(self._writer.write(event.kind, **vars(event)))

    def started(self) -> None:
        """Write ``experiment_started``, unless the log begins with it already."""
        if self.state.id:
            return
        scenario = self.scenario
        self.write(
            kinds.ExperimentStarted(
                id=self.experiment.id,
                scenario=scenario.name,
                title=scenario.title,
                seed=scenario.seed,
                convention=scenario.analysis.convention,
                started=datetime.datetime.now(tz=datetime.UTC).isoformat(timespec="seconds"),
                runs=[_outline(run) for run in scenario.runs],
                expect=[{"that": each.that, "because": each.because} for each in scenario.expect],
                versions=versions(),
                machine=describe_machine(),
            )
        )

    def record(self, event: Any) -> None:
        """Write an event of :func:`synergy_trainer.train`; unknown ones are skipped."""
        handler = self._handlers.get(type(event).__name__)
        if handler is not None:
            handler(event)

    def warn(self, message: str, run: str | None = None) -> None:
        self.write(kinds.Warning(run=run, message=message))

    def end(self, how: str, run: str, step: int, reason: str = "") -> None:
        """Write ``run_finished``, ``run_stopped`` or ``run_failed``."""
        self.write(kinds.ENDINGS[how](run=run, step=step, reason=reason))

    def simulate(self, run: str, system: MultiHeadSystem, *, note: str = "") -> None:
        """Measure a designed graph and write the result."""
        import synergy_engine as engine

        self._design_started(run, "designed", note, heads=system.heads, nodes=system.nodes)
        if unreached := system.unreachable():
            listed = ", ".join(system.name(node) for node in unreached[:10])
            self.warn(
                f"{len(unreached)} of {system.nodes} nodes cannot reach the sink, so mixing times "
                f"are infinite and minimax fidelity is 0: {listed}"
                + (" …" if len(unreached) > 10 else ""),
                run,
            )

        def measure(convention: str) -> list[Analysis]:
            found = engine.analyze(system, convention=convention, **self._how())
            return [cast("Analysis", found.as_dict())]

        # The published code's convention reads attention, which the weights of a graph are not.
        also = [name for name in self.scenario.analysis.also if name != "paper-code"]
        measured = self._measured(run, 0, 1, measure, also)
        file = None
        if system.dense is not None and system.dense.nbytes <= LARGEST_KEPT:
            raw = np.stack([system.head_array(h) for h in range(system.heads)])
            designed = Snapshot(
                f"{run}-designed",
                raw[None, None].astype(np.float32),
                system.weights[None],
                names=tuple(system.names or ()),
                designed=True,
            )
            file = self.keep(run, designed)
        self.write(kinds.Simulated(**measured, attention=file))
        self.end("finished", run, 0)

    def load(self, run: str, loaded: Loaded, *, note: str = "") -> None:
        """Measure attention that came from a file."""
        found = loaded.snapshot
        self._design_started(
            run,
            "loaded",
            note,
            heads=found.heads,
            nodes=found.nodes,
            layers=found.layers,
            parameters=loaded.parameters,
        )
        kept = replace(found, key=f"{run}-loaded")
        measured = self._attention(run, 0, kept, loaded.label, fully=True)
        self.write(kinds.Simulated(**measured))
        self.end("finished", run, 0)

    def probe(
        self, run: str, step: int, snapshot: Snapshot, *, final: bool, loss: float | None
    ) -> None:
        """Measure attention that somebody else's training gave at ``step``."""
        kept = replace(snapshot, key=f"{run}-{step:08d}")
        label = self.scenario.analysis.weights
        measured = self._attention(run, step, kept, label, fully=final)
        self.write(kinds.Probe(**measured, loss=loss))

    def finish(self, exit_code: int, reason: str = "", *, complete: bool = True) -> int:
        """Decide the expectations, close the log, and return the exit code written.

        An ``exit_code`` of 0 becomes 1 when an expectation fails, or 3 when a run failed.
        Expectations are left undecided unless the runs are ``complete``.
        """
        from synergy_tui.experiments.verdict import scoreboard

        failed = [run for run in self.state.runs.values() if run.status == "failed"]
        if exit_code == ExitCode.OK and failed:
            exit_code = ExitCode.RUN_FAILED
            reason = reason or "; ".join(f"{run.name}: {run.reason}" for run in failed)
        if complete and exit_code in (ExitCode.OK, ExitCode.RUN_FAILED):
            held = [self._expectation(each.that, each.because) for each in self.scenario.expect]
            if exit_code == ExitCode.OK and not all(held):
                exit_code = ExitCode.EXPECTATION_FAILED
                reason = reason or f"{held.count(False)} of {len(held)} expectations failed"
        line = scoreboard(self.state).line
        self.write(kinds.ExperimentFinished(exit_code=int(exit_code), reason=reason, verdict=line))
        return int(exit_code)

    def _expectation(self, that: str, because: str) -> bool:
        def lookup(run: str, name: str) -> Value:
            if run not in self.state.runs:
                raise expect.UndecidedError(f"run {run} did not start")
            return metric(self.state.runs[run], name)

        result = expect.parse(that).evaluate(lookup)
        self.write(
            kinds.Expectation(
                that=that,
                holds=result.holds,
                left=_side(result.left),
                right=_side(result.right),
                reason=result.reason,
                because=because,
            )
        )
        return result.holds

    def _run_started(self, event: trainer.RunStarted) -> None:
        known = self.state.runs.get(event.run)
        if event.step > 0 and known is not None and known.total_steps is not None:
            self.write(kinds.RunResumed(run=event.run, step=event.step, device=event.device))
            return
        if known is not None and known.step > 0:
            # No checkpoint was written before the worker went: the run begins again.
            self.write(kinds.RunResumed(run=event.run, step=0, device=event.device))
        attention = f"needs attention: {event.needs_attention}; solvable: {event.solvable}"
        note = self.scenario.run(event.run).note or attention
        self.write(_taken(kinds.RunStarted, event, kind_of_run="trained", note=note))

    def _design_started(
        self,
        run: str,
        kind: Literal["designed", "loaded"],
        note: str,
        *,
        heads: int,
        nodes: int,
        layers: int = 1,
        parameters: int | None = None,
    ) -> None:
        self.write(
            kinds.RunStarted(
                run=run,
                parameters=parameters,
                heads=heads,
                device="cpu",
                layers=layers,
                nodes=nodes,
                seed=self.scenario.seed,
                kind_of_run=kind,
                note=note,
            )
        )

    def _train_step(self, event: trainer.TrainStep) -> None:
        rate = round(event.tokens_per_second, 1)
        self.write(_taken(kinds.TrainStep, event, tokens_per_second=rate))

    def _probe(self, event: trainer.Probe) -> None:
        learned = self.scenario.analysis.weights == "learned"
        heads = event.attention.shape[2]
        weights = event.head_weights if learned else np.full_like(event.head_weights, 1 / heads)
        probed = Snapshot(
            f"{event.run}-{event.step:08d}",
            event.attention,
            weights,
            event.tokens,
            gamma=event.gamma,
        )
        measured = self._attention(
            event.run,
            event.step,
            probed,
            "learned" if learned else "uniform",
            fully=self.scenario.train is not None and event.step in (0, self.scenario.train.steps),
        )
        if event.losses_without is not None:
            for layer, losses in zip(measured["layers"], event.losses_without, strict=True):
                for head, loss in zip(layer["per_head"], losses, strict=True):
                    head["loss_without"] = float(loss)
        self.write(_taken(kinds.Probe, event, **measured))

    def _attention(
        self, run: str, step: int, snapshot: Snapshot, label: str, *, fully: bool
    ) -> dict[str, Any]:
        """Measure attention, keep some of it, and return the fields of its event.

        ``fully`` is by every convention that the scenario names: of the untrained network too, or a
        report would have nothing to compare the trained one's numbers with.
        """
        import synergy_engine as engine

        options = self.scenario.analysis

        def measure(convention: str) -> list[Analysis]:
            found = engine.analyze_batch(
                snapshot.attention,
                snapshot.head_weights,
                convention=convention,
                weights_label=label,
                shuffles=SHUFFLES if convention == options.convention else 0,
                **self._how(),
            )
            return [cast("Analysis", analysis.as_dict()) for analysis in found]

        also = options.also if fully else []
        measured = self._measured(run, step, snapshot.inputs, measure, also)
        keep = options.kept_inputs and self._retention.writes
        file = self.keep(run, snapshot.first(options.kept_inputs)) if keep else None
        return {**measured, "attention": file}

    def _how(self) -> dict[str, Any]:
        options = self.scenario.analysis
        return {
            "combine": options.combine,
            "epsilon": options.epsilon,
            "max_steps": options.max_steps,
        }

    def _measured(
        self,
        run: str,
        step: int,
        inputs: int,
        measure: Callable[[str], list[Analysis]],
        also: Sequence[str],
    ) -> dict[str, Any]:
        """Return the fields of a measurement: layer by layer, over all, by other conventions."""
        import synergy_engine as engine

        main = self.scenario.analysis.convention
        layers = measure(main)
        others = {name: _brief(engine.overall(measure(name))) for name in also if name != main}
        return {
            "run": run,
            "step": step,
            "inputs": inputs,
            "layers": layers,
            "overall": engine.overall(layers),
            "conventions": others,
        }

    def keep(self, run: str, snapshot: Snapshot) -> str | None:
        """Write an attention file; a disk without room costs the file, not the run."""
        name = f"attention/{snapshot.key}.safetensors"
        data = snapshot.packed(run=run, axes="input, layer, head, receiver, sender")
        try:
            (self.experiment.path / "attention").mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            write_whole(self.experiment.path / name, data)
        except OSError as error:
            self.warn(f"{name} was not written: {error.strerror or error}", run)
            return None
        return name

    def _checkpoint(self, event: trainer.Checkpoint) -> None:
        path = event.path
        if path.is_relative_to(self.experiment.path):
            path = path.relative_to(self.experiment.path)
        self.write(kinds.Checkpoint(run=event.run, step=event.step, path=str(path)))

    def _run_failed(self, event: trainer.RunFailed) -> None:
        if event.details:
            self.details.append(f"{event.run}, step {event.step}: {event.details}")
        self.end("failed", event.run, event.step, event.reason)


def _taken(kind: type[K], event: Any, **more: Any) -> K:
    """Return a trainer's event as the log's kind: the fields that both have, and ``more``."""
    names = [each.name for each in fields(kind)]
    shared = {name: getattr(event, name) for name in names if hasattr(event, name)}
    return kind(**{**shared, **more})


def versions() -> dict[str, str]:
    """Return the versions of what takes part in a computation."""
    found = {"python": platform.python_version()}
    for name in VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _outline(run: Any) -> kinds.Outline:
    if isinstance(run, WatchedRun):
        return {"name": run.name, "kind_of_run": "watched"}
    kind = {"TrainedRun": "trained", "LoadedRun": "loaded"}.get(type(run).__name__, "designed")
    heads = len(run.heads) if isinstance(run.heads, list) else run.heads
    return {"name": run.name, "heads": heads, "kind_of_run": kind}


def _side(value: Value | None) -> float | str | None:
    return f"> {value.bound:g}" if isinstance(value, AtLeast) else value


def _brief(analysis: dict[str, Any]) -> dict[str, Any]:
    """Keep what views compare of an analysis by another convention."""
    keys = (
        "convention",
        "combine",
        "sink",
        "mixing",
        "fidelity",
        "synergy",
        "intervals",
        "per_input",
    )
    return {key: analysis[key] for key in keys if key in analysis}
