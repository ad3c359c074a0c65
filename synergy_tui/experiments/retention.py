"""Which attention files of a training stay on disk: the ``keep`` of ``[analysis]``."""

from __future__ import annotations

from contextlib import suppress

from synergy_tui.experiments.experiment import Experiment
from synergy_tui.experiments.state import ExperimentState, RunState, outline


class Retention:
    """Removes the attention files of probes that became history and are not to be kept.

    ``keep`` is the scenario's: ``all``, ``last``, ``none``, or ``every:N``, which keeps the first
    probe and each N-th after it. The newest file stays in any case but ``none``, and so does the
    one that a resume would begin with.
    """

    def __init__(self, experiment: Experiment, keep: str) -> None:
        self._experiment = experiment
        self.writes = keep != "none"
        """Whether attention is written at all."""
        every = keep.partition(":")[2]
        self._every = 1 if keep == "all" else int(every) if every else None

    def follow(self, state: ExperimentState) -> None:
        """Keep to the rule from now on, and do first what a run that was killed left undone."""
        for run in state.runs.values():
            for place in set(range(len(run.probes))).difference(run.fresh):
                self._forget(run, place)
        state.forget = self._forget

    def _forget(self, run: RunState, place: int) -> None:
        outline(run, place)
        name = run.probes[place].attention
        if name is None or (self._every is not None and place % self._every == 0):
            return
        file = self._experiment.path / name
        # A log may name anything; only what is really in this folder was written by a run.
        if file.parent.resolve() == self._experiment.path.resolve() / "attention":
            with suppress(OSError):
                file.unlink(missing_ok=True)
