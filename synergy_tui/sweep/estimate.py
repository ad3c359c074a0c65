"""How long a sweep will take and what memory it needs, estimated before it starts.

A model of the cost, not a promise: floating-point operations of the products at a rate measured
here and now on one core, times what everything around the products adds on small networks. The
constants come from runs of the shipped sweeps on two CPU cores. What a step takes on a GPU depends
on the card in other ways, so the time there is said to be unknown.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from synergy_tui.scenario import FamilyRun, Scenario, TrainedRun
from synergy_tui.sweep.plan import Point

# Measured training time over (operations / measured rate), 1.9 to 2.5 on the shipped sweeps:
# it pays for normalisation, softmax and the optimiser.
AROUND_THE_PRODUCTS = 2.2
SECONDS_A_STEP = 4e-4
PROBE_SECONDS = 0.01
POINT_SECONDS = 0.05
# A worker's imports, before its first point.
START_SECONDS = 3.0
PROCESS_BYTES = 450 * 2**20


@dataclass(frozen=True)
class Cost:
    """Estimated cost of one point on one worker."""

    operations: float  # floating-point, of the matrix products forward and backward
    steps: int  # updates that the interpreter must issue (runs of a point train as one stack)
    probes: int
    memory: int  # bytes at the peak, process included

    def seconds(self, rate: float) -> float:
        """Time at ``rate`` floating-point operations per second."""
        return (
            self.operations / rate * AROUND_THE_PRODUCTS
            + self.steps * SECONDS_A_STEP
            + self.probes * PROBE_SECONDS
            + POINT_SECONDS
        )


def cost(scenario: Scenario) -> Cost:
    """Estimate one experiment."""
    operations, memory, probes, steps = 0.0, PROCESS_BYTES, 0, 0
    for run in scenario.runs:
        if isinstance(run, TrainedRun) and scenario.train is not None:
            own_operations, own_memory = _trained(scenario, run)
            operations += own_operations
            memory += own_memory
            steps = scenario.train.steps
            every = scenario.train.probe_every
            probes += 2 + len(scenario.train.probe_at) + (steps // every if every else 0)
        elif isinstance(run, FamilyRun):
            operations += 50.0 * run.heads * run.graph.nodes**2
            memory += 6 * 8 * run.heads * run.graph.nodes**2
            probes += 1
    return Cost(operations, steps, probes, memory)


def _trained(scenario: Scenario, run: TrainedRun) -> tuple[float, int]:
    """Operations of a whole training, and bytes of one model with its gradients and activations."""
    from synergy_trainer.settings import shape_of
    from synergy_tui.scenario.training import training_of

    train = scenario.train
    assert train is not None
    settings, runs = training_of(scenario)
    shape = next(shape_of(settings, each) for each in runs if each.name == run.name)
    layers, embed, hidden, parameters = shape.layers, shape.embed, shape.mlp, shape.parameters()
    tokens = train.batch * train.length
    products = layers * 2 * embed * (embed + shape.query_width + hidden) + embed * (
        train.vocabulary + 1
    )
    scores = 2 * layers * train.length * embed
    # Two operations per multiply-add; the backward pass costs twice the forward one.
    operations = 6.0 * tokens * (products + scores) * train.steps
    attention = layers * train.batch * run.heads * train.length**2
    activations = tokens * layers * (8 * embed + 2 * hidden) + 3 * tokens * train.vocabulary
    probed = train.probe_inputs * layers * run.heads * train.length**2
    # Parameter, gradient and two moments; activations; scores and weights of attention; a probe.
    return operations, 4 * (4 * parameters + activations + 3 * attention + 4 * probed)


@dataclass(frozen=True)
class Estimate:
    """What a sweep will cost."""

    points: int
    runs: int
    seconds: float | None  # with all workers busy, their start included; None: not known on a GPU
    memory: int  # bytes with all workers busy on their largest batch


def estimate(
    points: Sequence[Point],
    *,
    workers: int,
    together: int = 1,
    rate: float | None = None,
    on_gpu: bool = False,
) -> Estimate:
    """Estimate the points that are still to be run, ``workers`` batches at a time.

    A batch trains up to ``together`` points as one ensemble. ``rate`` is the number of
    floating-point operations per second of one worker, measured when absent.
    """
    costs = [cost(point.scenario) for point in points]
    seconds: float | None = 0.0
    if on_gpu:
        seconds = None
    elif costs:
        speed = measure_rate() if rate is None else rate
        work = sum(each.seconds(speed) for each in costs)
        seconds = START_SECONDS + work / max(1, min(workers, len(costs)))
    largest = sorted((each.memory for each in costs), reverse=True)
    busy = largest[: workers * together]
    memory = sum(busy) - PROCESS_BYTES * max(0, len(busy) - workers)
    return Estimate(
        points=len(points),
        runs=sum(len(point.scenario.runs) for point in points),
        seconds=seconds,
        memory=memory,
    )


def measure_rate() -> float:
    """Operations per second of one core, on single-precision products as small networks make.

    Counted in the thread's own processor time, and on products too small for BLAS to share out: the
    machine may be busy now and idle later. The best of twelve windows.
    """
    import numpy as np

    rows, width, at_once = 32, 64, 16
    a = np.ones((rows, width), np.float32)
    b = np.ones((width, 2 * width), np.float32)
    a @ b
    best = 0.0
    for _ in range(12):
        begun, count = time.thread_time(), 0
        while (spent := time.thread_time() - begun) < 0.01:
            for _ in range(at_once):
                a @ b
            count += at_once
        best = max(best, count / spent)
    return 2.0 * rows * width * 2 * width * best
