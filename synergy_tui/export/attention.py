"""Attention of a run at a step: picked out of an experiment, and written for other tools."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from synergy_tui.errors import UserError
from synergy_tui.experiment import Experiment
from synergy_tui.output import write_output, write_output_with
from synergy_tui.state import ExperimentState

_ABOUT = ("rows", "names")
SUFFIXES = (".safetensors", ".npz", ".npy")


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


def write_attention(path: Path, kept: Kept) -> None:
    """Write attention, head weights and tokens to ``path``, as its suffix says.

    Raises
    ------
    UserError
        The suffix is not known, or the file cannot be written.
    """
    arrays: dict[str, Any] = {"attention": kept.attention, "head_weights": kept.head_weights}
    if kept.tokens is not None:
        arrays["tokens"] = kept.tokens
    suffix = path.suffix.lower()
    if suffix == ".safetensors":
        from safetensors.numpy import save

        whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
        write_output(path, save(whole, kept.metadata))
    elif suffix == ".npz":
        write_output_with(path, lambda target: np.savez_compressed(target, **arrays))
    elif suffix == ".npy":
        write_output_with(path, lambda target: np.save(target, kept.attention))
    else:
        raise UserError(f"{path}: attention is written as {', '.join(SUFFIXES)}.")
