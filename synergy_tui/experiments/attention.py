from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from synergy_tui.errors import UserError
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.experiments.state import ExperimentState

if TYPE_CHECKING:
    from synergy_engine import MultiHeadSystem
    from synergy_tui.experiments.experiment import Experiment

_ABOUT = ("rows", "names")


@dataclass(frozen=True, eq=False)
class Kept:
    """Attention that an experiment kept.

    Attributes
    ----------
    experiment, run, step
        Where it is from.
    attention
        (B, L, H, n, n) float32, rows are queries; raw edge weights for designed graphs.
    head_weights
        (L, H) float64.
    tokens
        (B, n) int64, or ``None`` for graphs.
    about
        What the kept file says of itself: ``rows`` (attention or raw weights) and ``names``.
    """

    experiment: str
    run: str
    step: int
    attention: np.ndarray
    head_weights: np.ndarray
    tokens: np.ndarray | None
    about: dict[str, str]

    @property
    def names(self) -> list[str] | None:
        """Node names, for graphs that have them."""
        try:
            named = json.loads(self.about.get("names", "null"))
        except ValueError:
            return None
        whole = isinstance(named, list) and len(named) == self.attention.shape[-1]
        return [str(name) for name in named] if whole else None

    @property
    def metadata(self) -> dict[str, str]:
        """What a file of it says about itself."""
        return {
            **self.about,
            "experiment": self.experiment,
            "run": self.run,
            "step": str(self.step),
            "axes": "input, layer, head, query, key",
        }


def kept_attention(
    experiment: Experiment, state: ExperimentState, run: str | None, step: int | None
) -> Kept:
    """Return the attention of ``run`` (the last run for ``None``) at ``step`` (the newest).

    Raises
    ------
    UserError
        There is no such run, it was not measured by then, or its attention was not kept.
    """
    if run is not None and run not in state.runs:
        known = ", ".join(state.runs)
        raise UserError(f"{experiment.id} has no run '{run}'.", hint=f"It has {known}.")
    if not state.runs:
        raise UserError(f"{experiment.id} has no runs yet.")
    chosen = state.runs[run or list(state.runs)[-1]]
    probe = chosen.probe_at(step)
    if probe is None:
        raise UserError(f"The attention of {chosen.name} was not measured by step {step or 0}.")
    if probe.attention is None:
        raise UserError(f"The attention of {chosen.name} at step {probe.step} was not kept.")
    arrays = experiment.attention(probe.attention)
    from safetensors import safe_open

    try:
        attention, weights = arrays["attention"], arrays["head_weights"]
    except KeyError as error:
        raise UserError(f"{probe.attention} holds no tensor named {error}.") from error
    if attention.ndim != 5 or weights.shape != attention.shape[1:3]:
        raise UserError(
            f"{probe.attention} holds attention of shape {attention.shape} and head weights of "
            f"shape {weights.shape}; expected (B, L, H, n, n) and (L, H)."
        )
    with safe_open(experiment.path / probe.attention, "numpy") as stored:
        about = {key: value for key, value in (stored.metadata() or {}).items() if key in _ABOUT}
    return Kept(
        experiment.id, chosen.name, probe.step, attention, weights, arrays.get("tokens"), about
    )


Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The attention (or designed heads) of one run at one step.

    Attributes
    ----------
    attention
        (B, L, H, n, n): inputs, layers, heads, query, key; raw weights for a designed graph.
    head_weights
        (L, H) float64.
    tokens
        (B, n) or ``None``.
    names
        Node names; empty where nodes are token positions.
    designed
        Whether rows may sum to anything.
    """

    key: str
    attention: npt.NDArray[np.floating]
    head_weights: Floats
    tokens: npt.NDArray[np.integer] | None = None
    names: tuple[str, ...] = ()
    designed: bool = False

    @property
    def inputs(self) -> int:
        """How many inputs were recorded."""
        return int(self.attention.shape[0])

    @property
    def layers(self) -> int:
        """How many layers."""
        return int(self.attention.shape[1])

    @property
    def heads(self) -> int:
        """How many heads a layer has."""
        return int(self.attention.shape[2])

    @property
    def nodes(self) -> int:
        """How many tokens or nodes."""
        return int(self.attention.shape[-1])

    def name(self, node: int) -> str:
        """What to call a node."""
        return self.names[node] if self.names else str(node)

    def system(self, layer: int = 0, input: int = 0) -> MultiHeadSystem:
        """The heads of one layer and input, with their weights."""
        import synergy_engine as engine

        return engine.MultiHeadSystem.from_attention(
            self.attention[input, layer],
            self.head_weights[layer],
            rows="any" if self.designed else "normalise",
            names=self.names or None,
        )


def load_snapshot(experiment: Experiment, path: str) -> Snapshot:
    """Read the attention file that a probe names.

    Raises
    ------
    UserError
        When the file is missing, torn, or does not hold attention.
    """
    arrays = experiment.attention(path)
    attention = arrays.get("attention")
    if attention is None or attention.ndim != 5 or attention.shape[-1] != attention.shape[-2]:
        raise UserError(f"{path} holds no attention of shape (inputs, layers, heads, n, n).")
    heads = attention.shape[1:3]
    weights = np.asarray(arrays.get("head_weights", np.ones(heads)), dtype=np.float64)
    if weights.shape != heads:
        raise UserError(f"{path}: head weights have shape {weights.shape}, not {heads}.")
    about = _about(experiment, path)
    names = _names(about.get("names", ""), attention.shape[-1])
    designed = about.get("rows") == "raw weights"
    return Snapshot(path, attention, weights, arrays.get("tokens"), names, designed)


def _about(experiment: Experiment, path: str) -> dict[str, str]:
    """What an attention file says about itself."""
    from safetensors import safe_open

    with safe_open(experiment.path / path, framework="numpy") as file:
        return dict(file.metadata() or {})


def _names(told: str, nodes: int) -> tuple[str, ...]:
    """Node names from the JSON list in the file's metadata; none when they do not fit."""
    try:
        names = json.loads(told) if told else []
    except ValueError:
        return ()
    return tuple(map(str, names)) if isinstance(names, list) and len(names) == nodes else ()
