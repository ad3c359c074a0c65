"""Attention made up in the shapes that trained heads show, for tests of the head screens."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from synergy_tui.experiments.experiment import Experiment
from tests.tui.app import synthetic

EXAMPLE2 = np.array(
    [
        [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]],
        [[1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 1]],
    ],
    dtype=np.float32,
)
"""Raw weights of Example 2 of the paper: nodes u, v, w, τ."""
NAMES = ("u", "v", "w", "τ")


def patterns(heads: int, nodes: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """(heads, nodes, nodes) causal attention: previous, first, local, uniform, sparse, in turn."""
    rng = np.random.default_rng(seed)
    query, key = np.mgrid[:nodes, :nodes]
    shapes = (
        6.0 * (query - key == 1),
        5.0 * (key == 0),
        -0.5 * np.abs(query - key - 3),
        np.zeros((nodes, nodes)),
        8.0 * (key == query // 2),
    )
    out = np.empty((heads, nodes, nodes), dtype=np.float32)
    for head in range(heads):
        scores = shapes[head % len(shapes)] + 1.2 * rng.standard_normal((nodes, nodes))
        scores[key > query] = -np.inf
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        out[head] = weights / weights.sum(axis=1, keepdims=True)
    return out


def write_trained(
    folder: Path, heads: int = 8, nodes: int = 33, layers: int = 2, inputs: int = 3
) -> Experiment:
    """A finished experiment of two runs whose probes at steps 0, 20 and 40 kept attention."""
    runs = (("single-head", 1), ("multi-head", heads))
    events = synthetic.trained(upto=40, steps=40, runs=runs, layers=layers)
    path = synthetic.write(events, folder)
    (path / "attention").mkdir()
    for place, (name, count) in enumerate(runs):
        for step in (0, 20, 40):
            attention = np.stack(
                [
                    np.stack([patterns(count, nodes, 97 * step + 7 * b + layer + place)
                              for layer in range(layers)])
                    for b in range(inputs)
                ]
            )  # fmt: skip
            weights = np.linspace(2.0, 1.0, count) * np.ones((layers, 1))
            save_file(
                {
                    "attention": attention,
                    "head_weights": weights / weights.sum(axis=1, keepdims=True),
                },
                path / f"attention/{name}-{step:08d}.safetensors",
            )
    return Experiment(path)


def write_designed(
    folder: Path, heads: npt.NDArray[np.float32] = EXAMPLE2, names: tuple[str, ...] = NAMES
) -> Experiment:
    """A finished experiment with one designed run, ``both``."""
    events = [event for event in synthetic.designed() if event.get("run") in (None, "both")]
    for event in events:
        if event["kind"] == "experiment_started":
            event["runs"] = ["both"]
        if event["kind"] == "simulated":
            event["attention"] = "attention/both-designed.safetensors"
    path = synthetic.write(events, folder)
    (path / "attention").mkdir()
    count = heads.shape[0]
    save_file(
        {
            "attention": np.ascontiguousarray(heads[None, None]),
            "head_weights": np.full((1, count), 1.0 / count),
        },
        path / "attention/both-designed.safetensors",
        metadata={"names": json.dumps(list(names)), "rows": "raw weights"},
    )
    return Experiment(path)
