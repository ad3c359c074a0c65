"""This tree against another one, as paired ratios in one run::

    git worktree add /tmp/before REVISION
    python -m tests.benchmarks.against /tmp/before [--blocks 15] [WORKLOAD …]

Each block times a workload once in either tree, the order turning from block to block, so that what
else the machine does weighs on both. The table gives the median of this tree's time over the
other's with the 95 % interval of its mean logarithm (Student's t); above 1 is slower.
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import pty
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

HERE = Path(__file__).resolve().parents[2]
EVENTS = 100_000


def first_of(*names: str) -> Any:
    """The first module there is: what was called otherwise before is named last."""
    for name in names[:-1]:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    return importlib.import_module(names[-1])


def _attention() -> np.ndarray:
    scores = np.exp(np.random.default_rng(0).normal(0, 2, (8, 2, 8, 64, 64)))
    lower = np.tril(scores)
    return lower / lower.sum(axis=-1, keepdims=True)


def analysis() -> Callable[[], object]:
    engine, attention = first_of("synergy_engine", "engine"), _attention()
    return lambda: [engine.analyze_batch(attention) for _ in range(10)]


def headline() -> Callable[[], object]:
    engine = first_of("synergy_engine", "engine")
    rows = np.tril(np.exp(np.random.default_rng(4).normal(0, 2, (16, 1, 8, 128, 128))))
    attention = rows / rows.sum(axis=-1, keepdims=True)
    return lambda: [engine.headline(attention) for _ in range(30)]


def layer() -> Callable[[], object]:
    engine = first_of("synergy_engine", "engine")
    rows = np.tril(np.exp(np.random.default_rng(5).normal(0, 3, (10, 4, 16, 100, 100))))
    attention = (rows / rows.sum(axis=-1, keepdims=True)).astype(np.float32)
    return lambda: engine.analyze_batch(attention)


def wide(sharp: float) -> Callable[[], Callable[[], object]]:
    def prepare() -> Callable[[], object]:
        engine = first_of("synergy_engine", "engine")
        logits = np.random.default_rng(0).normal(0, sharp, (1, 1, 4, 1024, 1024))
        rows = np.tril(np.exp(logits - logits.max(axis=-1, keepdims=True)))
        attention = (rows / rows.sum(axis=-1, keepdims=True)).astype(np.float32)
        return lambda: engine.analyze_batch(attention)

    return prepare


def reasons() -> Callable[[], object]:
    engine = first_of("synergy_engine", "engine")
    rows = np.tril(np.exp(np.random.default_rng(4).normal(0, 2, (4, 1, 16, 100, 100))))
    attention = rows / rows.sum(axis=-1, keepdims=True)
    return lambda: engine.why_batch(attention)


def tiny() -> Callable[[], object]:
    engine = first_of("synergy_engine", "engine")
    system = engine.topology("line", 8, heads=2, seed=0)
    return lambda: [engine.analyze(system) for _ in range(100)]


def fidelity() -> Callable[[], object]:
    engine = first_of("synergy_engine", "engine")
    rng = np.random.default_rng(1)
    heads = np.tril(rng.random((16, 100, 100)))
    system = engine.MultiHeadSystem.from_attention(heads / heads.sum(axis=-1, keepdims=True))
    return lambda: [engine.fidelity(system) for _ in range(500)]


def mixing() -> Callable[[], object]:
    engine = first_of("synergy_engine", "engine")
    system = engine.topology("sliding_window", 512, heads=4, window=10, diversity=0.3, seed=2)
    return lambda: [(engine.mixing_time(system), engine.arrival_times(system)) for _ in range(2)]


def sparse_hitting() -> Callable[[], object]:
    engine = first_of("synergy_engine", "engine")
    system = engine.topology("poisson", 100_000, degree=10, seed=1)
    return lambda: [engine.hitting_times(system) for _ in range(10)]


def sparse_fidelity() -> Callable[[], object]:
    engine = first_of("synergy_engine", "engine")
    system = engine.topology("sliding_window", 100_000, window=10, seed=1)
    return lambda: [engine.fidelity(system, horizon=40) for _ in range(30)]


def drawing_graphs() -> Callable[[], object]:
    engine = first_of("synergy_engine", "engine")
    return lambda: engine.topology("poisson", 200_000, degree=10, heads=2, diversity=0.5, seed=3)


def weights() -> Callable[[], object]:
    engine = first_of("synergy_engine", "engine")
    system = engine.topology("funsearch", 32, heads=3, diversity=0.5, seed=3)
    return lambda: [engine.optimal_weights(system) for _ in range(3)]


def training(heads: tuple[int, ...], **changes: Any) -> Callable[[], Callable[[], object]]:
    def prepare() -> Callable[[], object]:
        trainer = first_of("synergy_trainer", "trainer")
        settings = trainer.TrainSettings(**{"probe_every": 0, "log_every": 5, **changes})
        runs = [trainer.RunSettings(f"{k}", heads=each, seed=k) for k, each in enumerate(heads)]
        return lambda: list(trainer.train(settings, runs, device="cpu"))

    return prepare


def stepping(heads: tuple[int, ...], **changes: Any) -> Callable[[], Callable[[], object]]:
    """Two updates of models that stand ready, and what was measured at each."""

    def prepare() -> Callable[[], object]:
        trainer = first_of("synergy_trainer", "trainer")
        cohorts, torch = first_of("synergy_trainer.cohort", "trainer.cohort"), first_of("torch")
        settings = trainer.TrainSettings(**changes)
        runs = [trainer.RunSettings(f"{k}", heads=each, seed=k) for k, each in enumerate(heads)]
        stacks = cohorts.gather(settings, runs, torch.device("cpu"))
        return lambda: [each.update(True).of(each.names) for each in stacks for _ in range(2)]

    return prepare


def opening() -> Callable[[], object]:
    tails = first_of("synergy_tui.app.tail", "synergy_tui.tail")
    experiments = first_of("synergy_tui.experiments.experiment", "synergy_tui.experiment")
    events = first_of("synergy_tui.experiments.events", "synergy_tui.events")
    folder = Path(tempfile.mkdtemp()) / "2026-11-23-long"
    folder.mkdir()
    head = [
        {"v": 1, "t": 0.0, "kind": "experiment_started", "id": folder.name, "scenario": "long",
         "runs": ["a", "b"], "seed": 0, "versions": {}},
        *({"v": 1, "t": 0.0, "run": run, "kind": "run_started", "parameters": 1, "heads": 1,
           "device": "cpu"} for run in "ab"),
    ]  # fmt: skip
    steps = (
        {"v": 1, "t": step / 100, "run": run, "kind": "train_step", "step": step,
         "loss": 1 / (1 + step), "accuracy": 0.5, "tokens_per_second": 1e4}
        for step in range(EVENTS // 2) for run in "ab"
    )  # fmt: skip
    (folder / "events.jsonl").write_bytes(b"".join(map(events.encode, [*head, *steps])))

    def read() -> None:
        tail = tails.Tail(experiments.Experiment(folder))
        while not tail.caught_up:
            tail.poll()

    return read


def charts() -> Callable[[], object]:
    axes = first_of("synergy_tui.app.widgets.axes", "synergy_tui.widgets.axes")
    plot = first_of("synergy_tui.app.widgets.plot", "synergy_tui.widgets.plot")
    x = np.arange(500.0)
    curves = [plot.Curve(x, np.sin(x / 30), "run-1"), plot.Curve(x, np.cos(x / 17), "run-2")]
    markers = [plot.Marker("y", 0.5, "half"), plot.Marker("x", 250, "middle")]
    drawn = plot.Plot(axes.Axis(0, 500), axes.Axis(-1, 1), curves, markers)
    return lambda: [plot.draw(drawn, 70, 14) for _ in range(50)]


PAPER = {
    "task": "copy", "length": 100, "vocabulary": 256, "batch": 50, "embed": 64, "mlp": 128,
    "layers": 4,
}  # fmt: skip
LITTLE = {"task": "copy", "length": 32, "vocabulary": 16, "batch": 4, "layers": 2, "steps": 60}
SORT = {"task": "sort", "length": 33, "vocabulary": 16, "batch": 64, "layers": 1, "steps": 30}

INSIDE: dict[str, Callable[[], Callable[[], object]]] = {
    "engine: analyze_batch (8, 2, 8, 64, 64)": analysis,
    "engine: headline (16, 1, 8, 128, 128)": headline,
    "engine: analyze_batch (10, 4, 16, 100, 100)": layer,
    "engine: analyze_batch, 1024 nodes, diffuse": wide(2.0),
    "engine: analyze_batch, 1024 nodes, peaked": wide(8.0),
    "engine: why_batch (4, 1, 16, 100, 100)": reasons,
    "engine: analyze, 8 nodes": tiny,
    "engine: fidelity (16, 100, 100)": fidelity,
    "engine: mixing and arrival, 512 nodes": mixing,
    "engine: hitting times, 10^6 edges": sparse_hitting,
    "engine: fidelity, 10^6 edges, 40 steps": sparse_fidelity,
    "engine: drawing 2 × 2·10^6 edges": drawing_graphs,
    "engine: optimal weights": weights,
    **{
        f"trainer: the paper's sizes, {heads} heads, {dropout}": stepping(
            (heads,), dropout=dropout, **PAPER
        )
        for dropout in (0.1, 0.0)
        for heads in (1, 4, 8, 16)
    },
    "trainer: the paper's four models": stepping((1, 4, 8, 16), dropout=0.1, **PAPER),
    "trainer: sort, 1 and 8 heads, probed": training((1, 8), **{**SORT, "probe_every": 10}),
    "trainer: eight small models together": training((1, 2, 4, 8) * 2, **LITTLE),
    "trainer: sixteen small models": stepping((1, 2, 4, 8) * 4, **LITTLE),
    "app: opening 10^5 events": opening,
    "app: fifty charts": charts,
}
"""Timed within one long-lived process of each tree."""


def command(*arguments: str) -> Callable[[dict[str, str]], float]:
    def run(environment: dict[str, str]) -> float:
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-P", "-m", "synergy_tui", *arguments],
            env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return time.perf_counter() - begun

    return run


def first_frame(environment: dict[str, str]) -> float:
    """Seconds from the start of a process to a frame of a finished experiment, in a terminal."""
    control, terminal = pty.openpty()
    begun, got = time.perf_counter(), b""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "synergy_tui", "replay", "last"],
        env={**environment, "TERM": "xterm-256color"},
        stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    try:
        while b"head-1" not in got and time.perf_counter() - begun < 60:
            if select.select([control], [], [], 0.5)[0]:
                got += os.read(control, 65536)
        return time.perf_counter() - begun
    finally:
        process.kill()
        process.wait()
        os.close(control)


EXAMPLE = str(HERE / "scenarios" / "example2.toml")
OUTSIDE: dict[str, Callable[[dict[str, str]], float]] = {
    "process: --help": command("--help"),
    "process: ls": command("ls"),
    "process: validate": command("validate", EXAMPLE),
    "process: first frame of a replay": first_frame,
}
"""Timed as processes of their own."""


class Tree:
    """A checkout, and one worker in it."""

    def __init__(self, root: Path, home: str) -> None:
        # One folder on the path, as of an installation: each more costs every import a look.
        packages = [root / "engine/synergy_engine", root / "trainer/synergy_trainer"]
        if not packages[0].exists():  # before they were called so
            packages = [root / "engine", root / "trainer"]
        self.folder = Path(tempfile.mkdtemp())
        for package in (*packages, root / "synergy_tui"):
            (self.folder / package.name).symlink_to(package)
        self.environment = {
            **os.environ, "PYTHONPATH": str(self.folder), "SYNERGY_HOME": home,
            "COLUMNS": "120", "LINES": "40",
        }  # fmt: skip
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody waits for that twice
        self.worker = subprocess.Popen(
            [sys.executable, "-P", __file__, "--worker"], env=self.environment, cwd=home,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip

    def seconds(self, workload: str) -> float:
        if workload in OUTSIDE:
            return OUTSIDE[workload](self.environment)
        assert self.worker.stdin is not None
        assert self.worker.stdout is not None
        self.worker.stdin.write(f"{workload}\n")
        return float(self.worker.stdout.readline())


def work() -> None:
    """Answer each workload's name with the seconds it takes; the first time is not counted."""
    ready: dict[str, Callable[[], object]] = {}
    for line in sys.stdin:
        name = line.strip()
        if name not in ready:
            ready[name] = INSIDE[name]()
            ready[name]()
        begun = time.perf_counter()
        ready[name]()
        print(time.perf_counter() - begun, flush=True)


def interval(ratios: list[float]) -> tuple[float, float]:
    """95 % of the mean logarithm of paired ratios, by Student's t."""
    logs = np.log(ratios)
    low, high = stats.t.interval(0.95, len(logs) - 1, np.mean(logs), stats.sem(logs))
    return math.exp(low), math.exp(high)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path)
    parser.add_argument("workloads", nargs="*", help="parts of names; all without")
    parser.add_argument("--blocks", type=int, default=15)
    options = parser.parse_intermixed_args()
    chosen = [
        name
        for name in (*INSIDE, *OUTSIDE)
        if not options.workloads or any(part in name for part in options.workloads)
    ]
    with tempfile.TemporaryDirectory() as home:
        trees = [Tree(HERE, home), Tree(options.other.resolve(), home)]
        command("run", EXAMPLE, "--no-ui", "--quiet")(trees[0].environment)
        print(f"{'':42} this, ms  other, ms   ratio   95 %", flush=True)
        for name in chosen:
            pairs: list[tuple[float, float]] = []
            for tree in trees:
                tree.seconds(name)
            for block in range(options.blocks):
                order = trees if block % 2 else trees[::-1]
                took = {tree: tree.seconds(name) for tree in order}
                pairs.append((took[trees[0]], took[trees[1]]))
            ratios = [here / there for here, there in pairs]
            low, high = interval(ratios)
            here, there = (1e3 * statistics.median(side) for side in zip(*pairs, strict=True))
            middle = statistics.median(ratios)
            print(
                f"{name:42} {here:8.2f}  {there:9.2f}   {middle:.3f}   [{low:.3f}, {high:.3f}]",
                flush=True,
            )
        for tree in trees:
            tree.worker.kill()
            shutil.rmtree(tree.folder)


if __name__ == "__main__":
    work() if "--worker" in sys.argv else main()
