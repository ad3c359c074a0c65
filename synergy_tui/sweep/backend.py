"""Chooses what runs a sweep on this machine or a cluster, and builds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from synergy_tui.errors import UserError
from synergy_tui.scenario import Scenario
from synergy_tui.scenario.sweep import SweepTable
from synergy_tui.sweep.directory import Sweep
from synergy_tui.sweep.driver import Batching, one_by_one
from synergy_tui.sweep.estimate import PROCESS_BYTES, cost
from synergy_tui.sweep.executors.executor import Backend, Executor, usable_cores

EXECUTORS = ("auto", "ensemble", "pool", "ray")
# Beyond this a stack of models no longer fits a core's cache, and one failure costs too much.
LARGEST_BATCH = 8
SHARE_OF_MEMORY = 0.7


def choose(
    scenario: Scenario,
    scenarios: Sequence[Scenario],
    *,
    executor: str | None = None,
    workers: int | None = None,
    ray: str | None = None,
    device: str = "auto",
) -> Backend:
    """Choose a backend for the points that are to be run.

    Parameters
    ----------
    scenario
        With the ``[sweep]`` table; what the command line gives comes first.
    scenarios
        Of the points.
    executor, workers, ray, device
        From the command line; ``None`` where it says nothing.

    Raises
    ------
    UserError
        Options contradict each other.
    """
    table = scenario.sweep or SweepTable()
    name = executor or ("ray" if ray else table.executor)
    if ray and name != "ray":
        raise UserError(f"--ray needs the executor ray, not {name}.")
    cores = usable_cores()
    wanted = workers or table.workers
    processes = table.data_parallel
    if processes > 1 and name in ("ensemble", "ray"):
        raise UserError(
            f"[sweep] data_parallel = {processes} needs the executor pool, not {name}.",
            hint="An ensemble fills one device with many points; data_parallel is the opposite.",
        )
    if name == "ray":
        return Backend("ray", wanted or 0, 1, 1, device, ray or "auto")
    on_gpu = device.startswith("cuda") or (device == "auto" and _cuda())
    if name == "auto":
        # Points that cannot be stacked train alone in an ensemble's process, as in a pool.
        name = "ensemble" if processes == 1 else "pool"
    count = wanted or (1 if on_gpu else max(1, _that_fit(cores, scenarios) // processes))
    threads = max(1, cores // (count * processes))
    together = LARGEST_BATCH if name == "ensemble" else 1
    return Backend(name, count, threads, together, device, processes=processes)


def _that_fit(cores: int, scenarios: Sequence[Scenario]) -> int:
    """Processes that fit in memory, one a core at most."""
    import psutil

    largest = max((cost(scenario).memory for scenario in scenarios), default=PROCESS_BYTES)
    room = psutil.virtual_memory().available * SHARE_OF_MEMORY
    return max(1, min(cores, int(room // largest), len(scenarios) or 1))


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def build(backend: Backend, sweep: Sweep) -> tuple[Executor, Batching]:
    """The executor of a backend, and how it wants its points sorted into batches."""
    if backend.executor == "ray":
        from synergy_tui.sweep.executors.ray import RayExecutor

        return RayExecutor(sweep, backend), one_by_one
    from synergy_tui.sweep.executors.pool import PoolExecutor

    pool = PoolExecutor(
        backend.workers,
        threads=backend.threads,
        device=backend.device,
        log=sweep.log_path,
        processes=backend.processes,
    )
    if backend.together == 1:
        return pool, one_by_one

    from synergy_tui.sweep.executors.ensemble import batches

    def together(tasks: Sequence[Any]) -> list[Any]:
        # No larger than what keeps every worker busy.
        fair = -(-len(tasks) // backend.workers)
        return batches(tasks, max(1, min(backend.together, fair)))

    return pool, together
