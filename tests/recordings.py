"""Experiments recorded once, which tests replay without training anything.

``python -m tests.recordings [NAME…]`` records them again, after events have changed.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

from tests.places import DATA

RECORDINGS = DATA / "recordings"

_TRAIN = {
    "task": "sort",
    "length": 13,
    "vocabulary": 8,
    "steps": 80,
    "batch": 32,
    "embed": 16,
    "mlp": 32,
    "layers": 1,
    "learning_rate": 1e-2,
    "probe_every": 20,
    "probe_inputs": 8,
    "checkpoint_every": 40,
}
_FOUR = {**_TRAIN, "steps": 40, "layers": 2, "length": 11, "probe_inputs": 4, "probe_every": 20}
_ANALYSIS = {"kept_inputs": 1}
_U, _V, _W, _T = "u", "v", "w", "τ"
_LINE = {"edges": [[_U, _V], [_V, _W], [_W, _T]]}
_BRANCHES = {"edges": [[_U, _W], [_V, _W], [_V, _T], [_W, _T]]}
_NODES = [_U, _V, _W, _T]

SCENARIOS: dict[str, dict[str, Any]] = {
    "sort": {
        "title": "One head against four, same parameters",
        "seed": 7,
        "train": _TRAIN,
        "analysis": _ANALYSIS,
        "runs": [{"name": "single-head", "heads": 1}, {"name": "multi-head", "heads": 4}],
        "expect": [{"that": "multi-head.parameters == single-head.parameters"}],
    },
    "four": {
        "title": "Four head counts, two layers",
        "seed": 1,
        "train": _FOUR,
        "analysis": _ANALYSIS,
        "runs": [{"name": f"heads-{heads}", "heads": heads} for heads in (1, 2, 4, 8)],
        "expect": [{"that": "heads-8.loss < 0"}, {"that": "heads-1.heads == 1"}],
    },
    "example2": {
        "title": "Example 2: two heads are heard more clearly than either",
        "runs": [
            {"name": "head-1", "nodes": _NODES, "heads": [_LINE]},
            {"name": "head-2", "nodes": _NODES, "heads": [_BRANCHES]},
            {"name": "both", "nodes": _NODES, "heads": [_LINE, _BRANCHES]},
        ],
        "expect": [{"that": "both.fidelity == 5/12"}],
    },
    "failed": {
        "title": "A learning rate that is too high",
        "seed": 2,
        "train": {**_TRAIN, "steps": 60},
        "analysis": _ANALYSIS,
        "runs": [
            {"name": "steady", "heads": 1},
            {"name": "diverges", "heads": 4, "learning_rate": 1e30},
        ],
    },
}
"""Name → the tables of its scenario. ``sort`` and ``example2`` end well (exit code 0), ``four`` has
an expectation that fails (1), and a run of ``failed`` diverges (3)."""


def recording(name: str) -> Path:
    """Return the experiment directory of a recording; do not write into it."""
    return RECORDINGS / name


def copy_recording(name: str, folder: Path) -> Path:
    """Copy a recording into ``folder``, as an experiment that a test may change."""
    return Path(shutil.copytree(recording(name), folder / name))


def record(name: str) -> int:
    """Execute a recording's scenario again and return its exit code."""
    from synergy_tui.experiments.experiment import create_experiment
    from synergy_tui.running.runner import run_experiment
    from synergy_tui.scenario import parse_scenario

    shutil.rmtree(recording(name), ignore_errors=True)
    scenario = parse_scenario(SCENARIOS[name], name=name, origin=f"recording {name}")
    experiment = create_experiment(scenario, RECORDINGS, identity=name)
    code = run_experiment(experiment, device="cpu")
    for left_over in ("worker.json", ".lock", "worker.log"):
        (experiment.path / left_over).unlink(missing_ok=True)
    shutil.rmtree(experiment.path / "checkpoints", ignore_errors=True)
    return code


def main() -> None:
    """Record what the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tests.recordings", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SCENARIOS))
    names = parser.parse_args().names
    if unknown := [name for name in names if name not in SCENARIOS]:
        parser.error(f"there is no recording {unknown[0]} (there are {', '.join(SCENARIOS)})")
    for each in names or SCENARIOS:
        print(each, "exit code", record(each))


if __name__ == "__main__":
    main()
