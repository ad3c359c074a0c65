"""What the app costs, against the figures it promises.

``make bench`` runs these with the others; alone::

    python -m pytest tests/benchmarks/test_bench_app.py -o addopts="" --benchmark-only -s
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from rich.style import Style

from synergy_tui.app.widgets.axes import Axis
from synergy_tui.app.widgets.chart import strip_of
from synergy_tui.app.widgets.plot import Curve, Marker, Plot, draw
from synergy_tui.app.widgets.styles import STYLES
from synergy_tui.experiments.events import encode
from synergy_tui.experiments.experiment import Experiment, create_experiment
from synergy_tui.running.worker import launch
from synergy_tui.scenario import load_scenario
from tests.places import ROOT
from tests.tui.app import synthetic
from tests.tui.app.terminal import Terminal

SIZE = (120, 40)
LIVE_SECONDS = 10.0


def report(name: str, value: float, unit: str, target: float) -> None:
    """Print a figure beside what was promised."""
    verdict = "ok" if value <= target else "OVER"
    print(f"\n  {name}: {value:.4g} {unit} (promised: at most {target:g}) {verdict}")


def test_one_chart(benchmark: Any) -> None:
    """Arrays to strips: 2 curves of 500 points and a marker in 70 × 14 cells."""
    x = np.arange(500.0)
    plot = Plot(
        Axis(0, 500),
        Axis(-1, 1),
        [Curve(x, np.sin(x / 30), "run-1"), Curve(x, np.cos(x / 17), "run-2")],
        [Marker("y", 0.5, "half"), Marker("x", 250, "middle")],
    )
    styles = [Style(color=f"#0000{place:02x}") for place in range(len(STYLES))]

    def chart() -> int:
        canvas = draw(plot, 70, 14)
        return len([strip_of(canvas, row, styles) for row in range(canvas.height)])

    assert benchmark(chart) == 14
    report("one chart", statistics.median(benchmark.stats.stats.data) * 1e3, "ms", 3.0)
    assert statistics.median(benchmark.stats.stats.data) <= 3e-3


def test_a_chart_of_a_million_points(benchmark: Any) -> None:
    """Decimation: a run of 10^6 steps in the same cells."""
    x = np.arange(1e6)
    y = np.random.default_rng(0).normal(size=len(x))
    plot = Plot(Axis(0, 1e6), Axis(-5, 5), [Curve(x, y, "run-1")])
    benchmark(lambda: draw(plot, 70, 14))


OPEN = """
import json, resource, sys, time
from pathlib import Path
import synergy_tui.app.app, synergy_tui.app.dashboard.screen
from synergy_tui.experiments.experiment import Experiment, create_experiment
from synergy_tui.running.worker import launch
from synergy_tui.scenario import load_scenario
from synergy_tui.app.tail import Tail
tail = Tail(Experiment(Path(sys.argv[1])))
begun = time.perf_counter()
while not tail.caught_up:
    tail.poll()
seconds = time.perf_counter() - begun
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
                  tail.state.events]))
"""


def test_opening_a_log_of_a_million_events(benchmark: Any, tmp_path: Path) -> None:
    """Read, parse and fold 10^6 events, in a process that has imported the app."""
    folder = tmp_path / "2026-11-23-long"
    folder.mkdir()
    synthetic.write_steps(10**6, folder / "events.jsonl")
    figures: list[list[float]] = []

    def open_log() -> None:
        done = subprocess.run(
            [sys.executable, "-c", OPEN, str(folder)], capture_output=True, text=True, check=True
        )
        figures.append(json.loads(done.stdout))

    benchmark.pedantic(open_log, rounds=3)
    seconds = min(figure[0] for figure in figures)
    memory = max(figure[1] for figure in figures) / 1e6
    assert figures[0][2] == 10**6
    report("opening 10^6 events", seconds, "s", 2.0)
    report("memory then", memory, "MB", 300.0)
    assert seconds <= 2.0
    assert memory <= 300.0


@contextlib.contextmanager
def growing(folder: Path, rate: float, probe_every: int = 20) -> Iterator[None]:
    """Append to the log of ``folder`` as a worker would: ``rate`` steps a second of two runs."""
    stop = threading.Event()
    noise = np.random.default_rng(1)
    runs = {"single-head": 1, "multi-head": 8}

    def events(step: int) -> Iterator[dict[str, Any]]:
        for name, heads in runs.items():
            fading = float(np.exp(-step / 3000) * (1 + 0.05 * noise.normal()))
            common = {"v": 1, "t": step / rate, "run": name, "step": step}
            yield {**common, "kind": "train_step", "loss": 2.7 * fading + 0.1 / heads,
                   "accuracy": 1 - fading, "tokens_per_second": 1e4 * (1 + fading)}  # fmt: skip
            if step % probe_every == 0:
                clear = 0.04 * max(1 - fading, 0.01)  # noise must not make it negative
                measured = synthetic.analysis(8 + 30 * fading, clear, heads, 1)
                yield {**common, "kind": "probe", "inputs": 16, "layers": [measured],
                       "overall": measured, "attention": None}  # fmt: skip

    def write() -> None:
        with (folder / "events.jsonl").open("ab", buffering=0) as file:
            begun, step = time.perf_counter(), 0
            while not stop.is_set():
                step += 1
                file.write(b"".join(encode(event) for event in events(step)))
                ahead = step / rate - (time.perf_counter() - begun)
                if ahead > 0:
                    stop.wait(ahead)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Path]:
    """An experiment that this process holds, as a worker does."""
    folder = synthetic.write(synthetic.trained(upto=0, steps=10**5), tmp_path / "2026-11-23-live")
    with Experiment(folder).lock():
        yield folder


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A finished experiment."""
    return synthetic.write(synthetic.trained(upto=600), tmp_path / "2026-11-23-finished")


def test_first_frame(benchmark: Any, finished: Path) -> None:
    """From starting the process to the panels of a finished experiment."""
    times: list[float] = []

    def start() -> None:
        with Terminal(finished, SIZE) as terminal:
            terminal.wait_for("how soon?")
            times.append(terminal.since_start)

    benchmark.pedantic(start, rounds=3)
    report("first frame", min(times), "s", 1.0)
    assert min(times) <= 1.0


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_bytes_to_the_terminal_live(benchmark: Any, live: Path, size: tuple[int, int]) -> None:
    """Two runs at 10 steps and half a probe a second each, at the default rate."""
    figures: list[float] = []

    def watch() -> None:
        with growing(live, 10.0), Terminal(live, size) as terminal:
            terminal.wait_for("LIVE")
            terminal.read(4.0)
            figures.append(len(terminal.read(LIVE_SECONDS)) / LIVE_SECONDS / 1e3)

    benchmark.pedantic(watch, rounds=1)
    report(f"to a terminal of {size[0]}x{size[1]}, live", figures[0], "kB/s", 40.0)
    assert figures[0] <= 40.0


def test_bytes_and_cpu_when_nothing_changes(benchmark: Any, finished: Path) -> None:
    """A finished experiment that is looked at."""
    figures: list[tuple[float, float]] = []

    def watch() -> None:
        with Terminal(finished, SIZE) as terminal:
            terminal.wait_for("FINISHED")
            terminal.read(4.0)
            before = terminal.usage.cpu_times()
            got = len(terminal.read(LIVE_SECONDS))
            after = terminal.usage.cpu_times()
            busy = after.user + after.system - before.user - before.system
            figures.append((got / LIVE_SECONDS / 1e3, 100 * busy / LIVE_SECONDS))

    benchmark.pedantic(watch, rounds=1)
    report("to the terminal, idle", figures[0][0], "kB/s", 5.0)
    report("processor, idle", figures[0][1], "%", 2.0)
    assert figures[0][0] <= 5.0
    assert figures[0][1] <= 2.0


def test_keys_are_answered_under_load(benchmark: Any, live: Path) -> None:
    """Pause and follow, while 2000 steps a second of two runs and 20 probes a second come in."""
    waits: list[float] = []

    def press() -> None:
        with growing(live, 2000.0, probe_every=200), Terminal(live, SIZE) as terminal:
            terminal.wait_for("LIVE")
            terminal.read(2.0)
            for _ in range(8):
                terminal.press(" ")
                waits.append(terminal.wait_for("PAUSED at step"))
                terminal.read(0.3)
                terminal.press(" ")
                terminal.read(0.4)

    benchmark.pedantic(press, rounds=1)
    middle = statistics.median(waits) * 1e3
    report("a key under load, median", middle, "ms", 50.0)
    report("a key under load, worst", max(waits) * 1e3, "ms", 100.0)
    assert middle <= 50.0


def test_processor_while_live(benchmark: Any, live: Path) -> None:
    """What watching costs the machine that trains: two runs at 10 steps a second each."""
    figures: list[float] = []

    def watch() -> None:
        with growing(live, 10.0), Terminal(live, SIZE) as terminal:
            terminal.wait_for("LIVE")
            terminal.read(4.0)
            before = terminal.usage.cpu_times()
            terminal.read(LIVE_SECONDS)
            after = terminal.usage.cpu_times()
            busy = after.user + after.system - before.user - before.system
            figures.append(100 * busy / LIVE_SECONDS)

    benchmark.pedantic(watch, rounds=1)
    report("processor of the app, live", figures[0], "% of one core", 30.0)


BLOCK = 40
"""Steps of training that are timed at once: they hold two probes."""
BLOCKS = 6


def step_times(log: Path) -> dict[int, float]:
    """When, by the worker's clock, each step of the first run was done."""
    times: dict[int, float] = {}
    with log.open("rb") as file:
        for line in file:
            if b'"train_step"' in line and line.endswith(b"\n"):
                event = json.loads(line)
                times.setdefault(event["step"], event["t"])
    return times


def seconds_of_a_block(log: Path, wait: Callable[[float], object]) -> float:
    """Time the next whole block of steps, while ``wait`` passes the time."""
    times = step_times(log)
    begin = (max(times, default=0) // 20 + 1) * 20
    while begin + BLOCK not in times:
        wait(0.25)
        times = step_times(log)
    return times[begin + BLOCK] - times[begin]


@pytest.fixture
def training(tmp_path: Path) -> Iterator[Experiment]:
    """A worker that trains the main scenario, one thread on a core of its own; we have another."""
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        pytest.skip("there is no spare core, or no way to choose one")
    cores = sorted(os.sched_getaffinity(0))
    # Every step is reported, as in a run of the length that people watch.
    every = f"train.probe_every={BLOCK // 2}"
    overrides = ["train.steps=1000000", "train.log_every=1", every]
    scenario = load_scenario(ROOT / "scenarios" / "diverse_heads.toml", overrides=overrides)
    experiment = create_experiment(scenario, tmp_path)
    # The worker inherits its core; the app and this process get the others.
    os.sched_setaffinity(0, cores[:1])
    worker = psutil.Process(launch(experiment, device="cpu", threads=1))
    os.sched_setaffinity(0, cores[1:])
    try:
        yield experiment
    finally:
        os.sched_setaffinity(0, cores)
        worker.kill()
        worker.wait()


def test_a_run_that_is_watched_trains_as_fast(benchmark: Any, training: Experiment) -> None:
    """Headless and attached by turns, in one training; a spare core is there for the app."""
    alone: list[float] = []
    watched: list[float] = []

    def alternate() -> None:
        log = training.events_path
        while len(step_times(log) if log.exists() else ()) < BLOCK // 2:
            time.sleep(0.25)
        alone.append(seconds_of_a_block(log, time.sleep))
        for _ in range(BLOCKS):
            with Terminal(training.path, SIZE) as terminal:
                terminal.wait_for("how soon?")
                terminal.read(1.0)
                watched.append(seconds_of_a_block(log, terminal.read))
            alone.append(seconds_of_a_block(log, time.sleep))

    benchmark.pedantic(alternate, rounds=1)
    around = [(before + after) / 2 for before, after in itertools.pairwise(alone)]
    ratios = [free / seen for free, seen in zip(around, watched, strict=True)]
    share = 100 * statistics.median(ratios)
    print(f"\n  steps a second: {BLOCK / statistics.median(alone):.3g} alone,"
          f" {BLOCK / statistics.median(watched):.3g} watched;"
          f" ratios {' '.join(f'{ratio:.3f}' for ratio in ratios)}")  # fmt: skip
    report("slower when watched", 100 - share, "%", 3.0)
    assert share >= 97.0
