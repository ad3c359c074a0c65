"""Which backend runs a sweep."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from synergy_tui.errors import UserError
from synergy_tui.scenario import load_scenario
from synergy_tui.scenario.sweep import SweepTable
from synergy_tui.sweep.directory import create_sweep
from synergy_tui.sweep.estimate import PROCESS_BYTES, cost, estimate
from synergy_tui.sweep.executors import pool
from synergy_tui.sweep.executors.executor import LARGEST_STACK, Backend, Task, choose
from synergy_tui.sweep.executors.pool import PoolExecutor
from synergy_tui.sweep.executors.ray import RayExecutor
from synergy_tui.sweep.executors.remote import Packet
from synergy_tui.sweep.plan import expand
from synergy_tui.sweep.start import announce, plan_new
from tests.tui.sweep.test_plan import BASE, points_of


def test_the_command_line_comes_before_the_table(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(BASE + '[sweep]\nheads = [1]\nexecutor = "ensemble"\nworkers = 3')
    scenario = load_scenario(file)
    assert choose(scenario, [], device="cpu").executor == "ensemble"
    assert choose(scenario, [], device="cpu").workers == 3
    chosen = choose(scenario, [], executor="pool", workers=2, device="cpu")
    assert (chosen.executor, chosen.workers, chosen.together) == ("pool", 2, 1)
    assert choose(scenario, [], ray="local").ray == "local"
    with pytest.raises(UserError, match="--ray needs the executor ray"):
        choose(scenario, [], executor="pool", ray="local")


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A machine with four cards of 80 GB."""
    card = SimpleNamespace(total_memory=80 * 10**9)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: card)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return card


def test_each_gpu_gets_a_process_and_as_many_points_as_it_holds(
    four_gpus: SimpleNamespace, tmp_path: Path
) -> None:
    points = points_of("[sweep]\nheads = [1, 2]\nseeds = 50", tmp_path)
    scenarios = [point.scenario for point in points]
    scenario = scenarios[0]
    runs = len(scenario.runs)
    for device in ("auto", "cuda"):
        chosen = choose(scenario, scenarios, device=device)
        assert (chosen.workers, chosen.devices) == (4, 4)
        assert chosen.together == LARGEST_STACK // runs
    one = choose(scenario, scenarios, device="cuda:2")
    assert (one.workers, one.devices, one.device) == (1, 0, "cuda:2")
    assert choose(scenario, scenarios, device="cpu").devices == 0
    # Memory for three points, of which 70 % is used: two.
    four_gpus.total_memory = 3 * (cost(scenario).memory - PROCESS_BYTES)
    assert choose(scenario, scenarios, device="cuda").together == 2
    four_gpus.total_memory = 1
    assert choose(scenario, scenarios, device="cuda").together == 1


def test_workers_that_share_a_gpu_share_its_memory(
    four_gpus: SimpleNamespace, tmp_path: Path
) -> None:
    points = points_of("[sweep]\nheads = [1, 2]\nseeds = 50", tmp_path)
    scenarios = [point.scenario for point in points]
    # Memory for nine points, of which 70 % is used: six for one worker, three for each of two.
    four_gpus.total_memory = 9 * (cost(scenarios[0]).memory - PROCESS_BYTES)
    for device, workers, together in (
        ("cuda", 4, 6),
        ("cuda", 8, 3),
        ("cuda", 5, 3),
        ("cuda:1", 2, 3),
    ):
        chosen = choose(scenarios[0], scenarios, device=device, workers=workers)
        assert chosen.together == together


@pytest.mark.parametrize(("device", "processes"), [("cuda", 5), ("auto", 5), ("cuda:1", 2)])
def test_processes_that_share_batches_need_a_gpu_each(
    device: str, processes: int, four_gpus: SimpleNamespace, tmp_path: Path
) -> None:
    file = tmp_path / "s.toml"
    file.write_text(BASE + f"[sweep]\nheads = [1]\ndata_parallel = {processes}\n")
    scenario = load_scenario(file)
    with pytest.raises(UserError, match=f"data_parallel = {processes} needs as many GPUs"):
        choose(scenario, [scenario], device=device)
    assert choose(scenario, [scenario], device="cpu").processes == processes


@pytest.mark.parametrize(
    ("visible", "processes", "expected"),
    [
        (None, 1, ["0", "1", "2", "3", "0"]),
        ("5, GPU-a,MIG-b,7", 1, ["5", "GPU-a", "MIG-b", "7", "5"]),
        ("0,1,2,3,9", 1, ["0", "1", "2", "3", "0"]),  # there is no GPU 9: CUDA counts four
        (None, 2, ["0,1", "2,3", "0,1", "2,3", "0,1"]),
    ],
)
def test_each_worker_of_a_pool_sees_its_own_gpu(
    visible: str | None,
    processes: int,
    expected: list[str],
    four_gpus: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[Any] = []

    class Process:
        """One that never answers."""

        def __init__(self, command: list[str], **options: Any) -> None:
            started.append(options["env"].get("CUDA_VISIBLE_DEVICES"))
            self.stdin = (tmp_path / "input").open("wb")
            self.stdout = SimpleNamespace(fileno=lambda: 0, close=lambda: None, closed=False)

        def wait(self, *_: float) -> int:
            return -9

    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(pool.subprocess, "Popen", Process)
    selector = SimpleNamespace(register=lambda *_: None, unregister=lambda *_: None)
    monkeypatch.setattr(pool.selectors, "DefaultSelector", lambda: selector)
    executor = PoolExecutor(Backend("pool", 5, processes=processes, devices=4), tmp_path / "log")
    for name in "abcde":
        executor.submit([Task(name, tmp_path / name)])
    assert started == expected
    # Who comes after one that died takes its device.
    executor._bury(executor._workers[1])
    executor.submit([Task("f", tmp_path / "f")])
    assert started[-1] == expected[1]


def test_on_a_processor_workers_keep_what_they_see(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = PoolExecutor(Backend("pool", 2, device="cpu"), tmp_path / "log")
    assert executor._own_devices(1) == {}
    executor.shutdown()


def ray_executor(device: str, together: int, given: float | None) -> RayExecutor:
    """One that believes in a cluster of 16 cores and 4 GPUs."""
    executor = RayExecutor.__new__(RayExecutor)
    executor._table = SweepTable(gpus_per_point=given)
    executor._backend = Backend("ray", 0, together=together, device=device)
    executor._running = {}
    executor._ray = SimpleNamespace(cluster_resources=lambda: {"CPU": 16.0, "GPU": 4.0})
    return executor


@pytest.mark.parametrize(
    ("device", "together", "given", "points", "share", "room"),
    [
        ("cuda", 1, None, 1, 1.0, 4),
        ("cuda", 20, None, 20, 1.0, 4),  # a stack has a GPU of its own
        ("cuda", 20, 0.5, 2, 1.0, 4),  # two share one: they are its stack
        ("cuda", 20, 0.25, 3, 0.75, 4),
        ("cuda", 20, 2, 1, 2.0, 2),
        ("cuda", 20, 0.001, 20, 0.02, 16),
        ("auto", 8, None, 8, None, 16),
        ("cpu", 8, 0, 8, None, 16),
    ],
)
def test_ray_gives_each_batch_a_gpu_of_its_own(
    device: str,
    together: int,
    given: float | None,
    points: int,
    share: float | None,
    room: int,
    tmp_path: Path,
) -> None:
    executor = ray_executor(device, together, given)
    scenario = points_of("[sweep]\nheads = [1]", tmp_path)[0].scenario
    batch: Any = [SimpleNamespace(scenario=lambda: scenario)] * points
    needs = executor._needs(batch)
    assert needs.get("num_gpus") == share
    assert needs["memory"] == PROCESS_BYTES + points * (cost(scenario).memory - PROCESS_BYTES)
    assert executor.free == room


def test_ray_reserves_the_memory_that_the_table_names(tmp_path: Path) -> None:
    executor = ray_executor("cpu", 8, None)
    executor._table = SweepTable(memory_per_point=1.5)
    scenario = points_of("[sweep]\nheads = [1]", tmp_path)[0].scenario
    batch = [SimpleNamespace(scenario=lambda: scenario)] * 3
    assert executor._needs(batch)["memory"] == 3 * 3 * 2**29  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("device", "given", "sizes"),
    [("cpu", None, [8] * 12 + [4]), ("cuda", None, [20] * 5), ("cuda", 0.25, [4] * 25)],
)
def test_ray_stacks_what_a_pool_would(
    device: str, given: float | None, sizes: list[int], tmp_path: Path, four_gpus: SimpleNamespace
) -> None:
    text = "[sweep]\nheads = [1, 2]\nseeds = 100\n"
    file = tmp_path / "s.toml"
    file.write_text(BASE + text + ("" if given is None else f"gpus_per_point = {given}\n"))
    scenario = load_scenario(file)
    points = expand(scenario)
    sweep = create_sweep(scenario, points, tmp_path / "out")
    chosen = choose(
        scenario, [point.scenario for point in points], ray="local", workers=4, device=device
    )
    executor = ray_executor(device, chosen.together, given)
    executor._backend = chosen
    tasks = [Task(point.name, sweep.experiment(point.name).path) for point in sweep.points]
    assert [len(batch) for batch in executor.batches(tasks)] == sizes
    # With few points every worker gets its share of them.
    assert [len(batch) for batch in executor.batches(tasks[:6])] == [2, 2, 2]


def test_what_a_worker_of_ray_may_not_send_fails_its_point_alone(tmp_path: Path) -> None:
    text = BASE + "[sweep]\nheads = [1]\nseeds = 2\n"
    file = tmp_path / "s.toml"
    file.write_text(text)
    scenario = load_scenario(file)
    sweep = create_sweep(scenario, expand(scenario), tmp_path / "out")
    tasks = [Task(point.name, sweep.experiment(point.name).path) for point in sweep.points]
    sent = iter(
        [
            Packet(node="n"),
            Packet("s0", files={"../x": b""}),
            Packet("s0", exit_code=0),  # comes too late
            Packet("s1", exit_code=0),
        ]
    )
    cancelled: list[Any] = []
    executor = ray_executor("cpu", 8, None)
    executor._ended, executor._looked = [], float("inf")
    errors = SimpleNamespace(RayTaskError=LookupError, RayError=LookupError)
    executor._ray = SimpleNamespace(
        get=lambda packet: packet,
        wait=lambda streams, **_: (streams, []),
        cancel=lambda stream, **_: cancelled.append(stream),
        exceptions=errors,
    )
    task = SimpleNamespace(remote=lambda *_: sent)
    executor._run = SimpleNamespace(options=lambda **_: task)
    executor.submit(tasks)
    ended = [outcome for _ in range(4) for outcome in executor.poll(0)]
    assert [(each.task.point, each.exit_code) for each in ended] == [("s0", 3), ("s1", 0)]
    assert "outside its attention" in ended[0].reason
    assert executor._running == {}
    assert cancelled == []
    # One that trains alone is asked to end.
    sent = iter([Packet("s0", files={"../x": b""})])
    executor.submit(tasks[:1])
    assert [each.exit_code for each in executor.poll(0)] == [3]
    assert cancelled == [sent]


def test_without_knowing_a_gpu_ray_stacks_only_what_the_table_allows(tmp_path: Path) -> None:
    scenario = points_of("[sweep]\nheads = [1]", tmp_path)[0].scenario
    for given, together in ((None, 1), (0.25, LARGEST_STACK)):
        table = SweepTable(gpus_per_point=given)
        found = choose(
            scenario.model_copy(update={"sweep": table}), [scenario], ray="auto", device="cuda"
        )
        assert found.together == together


def test_the_time_on_a_gpu_is_said_to_be_unknown(tmp_path: Path) -> None:
    points = points_of("[sweep]\nheads = [1]\nseeds = 2", tmp_path)
    found = estimate(points, workers=1, on_gpu=True)
    assert found.seconds is None
    said = announce(found, finished=0, backend="ensembles")
    assert said.startswith("2 points, 2 runs to go: time unknown on this GPU, about")
    assert "factor" not in said


@pytest.mark.parametrize(("device", "known"), [("cuda", False), ("auto", True), ("cpu", True)])
def test_the_time_on_the_gpus_of_a_cluster_is_unknown_too(
    device: str, known: bool, tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    file = tmp_path / "s.toml"
    file.write_text(BASE + "[sweep]\nheads = [1]\nseeds = 2\n")
    plan = plan_new(str(file), ray="local", device=device)
    assert (plan.cost.seconds is not None) == known
