"""Attention with its head weights: what experiments keep of a run at a step, in safetensors."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from synergy_tui.errors import UserError

if TYPE_CHECKING:
    from synergy_engine import MultiHeadSystem
    from synergy_tui.experiments.experiment import Experiment
    from synergy_tui.experiments.state import ExperimentState

Floats = npt.NDArray[np.float64]
RAW = "raw weights"


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The attention (or designed heads) of one run at one step."""

    key: str
    """The file that it is from; relative to the experiment for one that was kept."""
    attention: npt.NDArray[np.floating]
    """(B, L, H, n, n): inputs, layers, heads, query, key; raw weights for a designed graph."""
    head_weights: Floats
    """(L, H)."""
    tokens: npt.NDArray[np.integer] | None = None
    """(B, n), of trained runs."""
    names: tuple[str, ...] = ()
    """Of nodes; empty where nodes are token positions."""
    designed: bool = False
    """Whether rows may have any sum."""
    gamma: npt.NDArray[np.floating] | None = None
    """(B, L, n), where asked for: at each receiver, the norm of attention's output as a share of
    its and of the residual stream's."""
    experiment: str = ""
    run: str = ""
    step: int = 0

    @property
    def inputs(self) -> int:
        return int(self.attention.shape[0])

    @property
    def layers(self) -> int:
        return int(self.attention.shape[1])

    @property
    def heads(self) -> int:
        """Heads per layer."""
        return int(self.attention.shape[2])

    @property
    def nodes(self) -> int:
        return int(self.attention.shape[-1])

    @property
    def about(self) -> dict[str, str]:
        """What its file says of itself, beyond where it is from."""
        about = {"rows": RAW if self.designed else "attention"}
        if self.names:
            about["names"] = json.dumps(self.names, ensure_ascii=False)
        return about

    @property
    def arrays(self) -> dict[str, Any]:
        """The tensors of its file."""
        arrays = {
            "attention": self.attention,
            "head_weights": self.head_weights,
            "tokens": self.tokens,
            "gamma": self.gamma,
        }
        return {name: values for name, values in arrays.items() if values is not None}

    def name(self, node: int) -> str:
        return self.names[node] if self.names else str(node)

    def first(self, inputs: int) -> Snapshot:
        """Return the snapshot of its first inputs alone."""
        tokens = None if self.tokens is None else self.tokens[:inputs]
        gamma = None if self.gamma is None else self.gamma[:inputs]
        return replace(self, attention=self.attention[:inputs], tokens=tokens, gamma=gamma)

    def system(self, layer: int = 0, input: int = 0) -> MultiHeadSystem:
        """Return the heads of one layer and input, with their weights."""
        import synergy_engine as engine

        return engine.MultiHeadSystem.from_attention(
            self.attention[input, layer],
            self.head_weights[layer],
            rows="any" if self.designed else "normalise",
            names=self.names or None,
        )

    def packed(self, **about: str) -> bytes:
        """Return the bytes of its safetensors file, the same for equal snapshots."""
        from safetensors.numpy import save

        arrays = {key: np.ascontiguousarray(value) for key, value in self.arrays.items()}
        content = save(arrays, {**self.about, **about})
        # The library writes metadata in an order that differs from process to process.
        data = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:data])
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        return len(text).to_bytes(8, "little") + text + content[data:]


def load_snapshot(experiment: Experiment, path: str, *, weighted: bool = False) -> Snapshot:
    """Read the attention file that a probe names; a `UserError` says why it cannot be used.

    A file without head weights is read as if all were 1, unless it must be ``weighted``.
    """
    from safetensors import safe_open

    arrays = experiment.attention(path)
    attention = arrays.get("attention")
    if attention is None or attention.ndim != 5 or attention.shape[-1] != attention.shape[-2]:
        raise UserError(f"{path} contains no attention of shape (inputs, layers, heads, n, n).")
    heads = attention.shape[1:3]
    if weighted and "head_weights" not in arrays:
        raise UserError(f"{path} contains no tensor named 'head_weights'.")
    weights = np.asarray(arrays.get("head_weights", np.ones(heads)), dtype=np.float64)
    if weights.shape != heads:
        raise UserError(f"{path}: head weights have shape {weights.shape}, not {heads}.")
    with safe_open(experiment.path / path, framework="numpy") as file:
        about = dict(file.metadata() or {})
    names = _names(about.get("names", ""), attention.shape[-1])
    gamma = arrays.get("gamma")
    if gamma is not None and gamma.shape != (*attention.shape[:2], attention.shape[-1]):
        raise UserError(f"{path}: gamma has shape {gamma.shape}, not (inputs, layers, n).")
    return Snapshot(
        path,
        attention,
        weights,
        arrays.get("tokens"),
        names,
        about.get("rows") == RAW,
        gamma,
    )


def _names(text: str, nodes: int) -> tuple[str, ...]:
    """Return node names from the JSON list in the file's metadata; none where they do not fit.

    They do not where two nodes have one, as tokens of a text may.
    """
    try:
        names = json.loads(text) if text else []
    except ValueError:
        return ()
    fits = isinstance(names, list) and len(names) == len(set(map(str, names))) == nodes
    return tuple(map(str, names)) if fits else ()


def find_snapshot(
    experiment: Experiment, state: ExperimentState, run: str | None, step: int | None
) -> Snapshot:
    """Return the attention of ``run`` (the last run for ``None``) at ``step`` (the newest).

    A `UserError` says that there is no such run, that it was not measured by then, or that its
    attention was not kept.
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
    found = load_snapshot(experiment, probe.attention, weighted=True)
    return replace(found, experiment=experiment.id, run=chosen.name, step=probe.step)
