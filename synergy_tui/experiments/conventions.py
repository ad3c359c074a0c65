"""Which of several numbers for one thing is shown, and its name.

Mixing times exist in four conventions, steps to the sink and fidelity in those that a probe was
measured under; none is hidden, one at a time is shown, always with its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from synergy_tui.experiments.analysis import Analysis
from synergy_tui.experiments.state import ExperimentState, Probe


@dataclass(frozen=True, slots=True)
class Convention:
    """One way to read a probe: a measuring convention, and which of its mixing times."""

    source: str
    distance: str = "tv"
    """``tv`` or ``l1``."""
    aggregate: str = "max"
    """``max`` or ``mean``, over starts."""

    @property
    def key(self) -> str:
        """The mixing time's key in an analysis object."""
        return f"mixing_time_{self.distance}_{self.aggregate}"

    @property
    def name(self) -> str:
        """For a person."""
        return f"{self.source} · {self.distance}, {self.aggregate}"

    def arrived(self, epsilon: float) -> float:
        """The arrival at which a start counts as mixed: 1 - ε, for L1 1 - ε/2."""
        return 1 - epsilon / (2 if self.distance == "l1" else 1)

    def analysis(self, probe: Probe, layer: int | None) -> Analysis:
        """The analysis object of ``probe`` for a layer (from 1), or over all layers."""
        if self.source != probe.overall.get("convention", self.source):
            # Measured over all layers only, and not at every probe: what was not measured is
            # missing, never another convention's number.
            other = probe.conventions.get(self.source) if layer is None else None
            return cast("Analysis", {**_UNMEASURED, **(other or {})})
        if layer is None:
            return probe.overall
        return probe.layers[min(layer, len(probe.layers)) - 1]


_UNMEASURED: Mapping[str, Any] = {"mixing": {}, "fidelity": {}}
_TIMES = (("tv", "max"), ("tv", "mean"), ("l1", "max"), ("l1", "mean"))


def available(state: ExperimentState) -> list[Convention]:
    """Every convention that the newest probes can be read under, the default first."""
    probes = [run.probe for run in state.runs.values() if run.probe is not None]
    main = probes[0].overall.get("convention", state.convention) if probes else state.convention
    listed = [Convention(main, *times) for times in _TIMES]
    others = sorted({name for probe in probes for name in probe.conventions} - {main})
    return listed + [Convention(name) for name in others]
