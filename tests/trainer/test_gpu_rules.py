"""What training on a GPU promises, as far as a machine without one can show it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from synergy_trainer import RunFinished, RunStarted, TrainerError, TrainStep, Warned, loop, train
from synergy_trainer.attend import fused
from synergy_trainer.cohort import Cohort, Measured
from synergy_trainer.device import (
    GraphedUpdate,
    allows_tf32,
    hardware,
    modes,
    prepare_products,
    uses_graphs,
)
from synergy_trainer.errors import explain
from tests.trainer.runs import PAIR, losses, of_kind, small

CUDA, CPU = torch.device("cuda"), torch.device("cpu")


def test_graphs_and_tf32_are_defaults_of_cuda_alone() -> None:
    assert allows_tf32(small(), CUDA)
    assert uses_graphs(small(), CUDA, None)
    assert not allows_tf32(small(), CPU)
    assert not uses_graphs(small(), CPU, None)
    assert not allows_tf32(small(deterministic=True), CUDA)
    assert allows_tf32(small(deterministic=True, tf32=True), CUDA)
    assert not uses_graphs(small(cuda_graphs=False), CUDA, None)


def test_small_models_are_not_shared_between_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    parallel: Any = SimpleNamespace(rank=0, size=2, average_=lambda tensors: None)
    monkeypatch.setattr(loop, "pick_device", lambda _: CUDA)
    with pytest.raises(TrainerError, match=r"too small to share batches between GPUs"):
        train(small(), PAIR, parallel=parallel)
    monkeypatch.setattr(loop, "pick_device", lambda _: CPU)
    train(small(), PAIR, parallel=parallel)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("no C compiler\nand much more"),
        PermissionError(13, "Permission denied", "/home/me/.triton"),
    ],
)
def test_a_compilation_that_fails_is_done_without(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    plain = losses(train(small(dropout=0.1), PAIR, device="cpu"))
    monkeypatch.setattr(torch, "compile", lambda _: fails)
    events = list(train(small(dropout=0.1, compile=True), PAIR, device="cpu"))
    assert losses(events) == plain
    messages = {event.message for event in of_kind(events, Warned)}
    first = str(error).partition("\n")[0]
    assert messages == {f"compile: failed ({type(error).__name__}: {first}); not used"}


def recording_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> Cohort:
    """A cohort on the CPU that believes in graphs and whose recording fails."""

    def fails(*_: object) -> None:
        raise error

    cohort = Cohort(small(), PAIR, CPU)
    cohort._graphs, cohort._tried = True, False
    monkeypatch.setattr(cohort, "_recorded", fails)
    monkeypatch.setattr(fused, "_failures", [])
    return cohort


def test_a_recording_that_fails_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = recording_with(RuntimeError("capture invalidated"), monkeypatch)
    plain = Cohort(small(), PAIR, CPU)
    for _ in range(3):
        ours, theirs = cohort.update(measure=True), plain.update(measure=True)
        assert ours is not None
        assert theirs is not None
        assert torch.equal(ours.losses, theirs.losses)
    assert "cuda_graphs: recording failed (RuntimeError: capture invalidated)" in cohort.remarks[-1]


def test_a_recording_without_memory_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = recording_with(RuntimeError("CUDA out of memory"), monkeypatch)
    with pytest.raises(RuntimeError, match="out of memory"):
        cohort.update(measure=True)


@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("there", [False, True])
def test_training_without_the_kernels_says_why(
    graphs: bool, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Triton is missing, or its kernels fail; of the latter a second training hears as well."""
    cohort = recording_with(RuntimeError("capture invalidated"), monkeypatch)
    given = *cohort._batch(1), cohort._keys(1)
    cohort._graphs, cohort.device = graphs, CUDA
    monkeypatch.setattr(fused, "_kernels", lambda: SimpleNamespace() if there else None)
    own = cohort._differentiated

    def fails(*batch: Any, **how: Any) -> Any:
        if there and not fused.missing():
            raise TypeError("out of resource: shared memory\nmore")
        return own(*batch, **how)

    monkeypatch.setattr(cohort, "_differentiated", fails)
    for _ in range(2):
        cohort._tried = False
        cohort._try_out(*given)
        slower, *others = cohort.remarks
        assert slower == (
            "device: training on CUDA is several times slower without Triton's kernels: "
            + (
                "they failed (TypeError: out of resource: shared memory)"
                if there
                else "install triton"
            )
        )
        assert len(others) == graphs
        cohort.remarks.clear()
        cohort._graphs = graphs


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (ImportError("no triton"), "install triton"),
        (
            TypeError("jit() got an option"),
            "they cannot be loaded (TypeError: jit() got an option)",
        ),
        (OSError("libtriton.so"), "they cannot be loaded (OSError: libtriton.so)"),
    ],
)
def test_a_triton_that_cannot_be_loaded_is_done_without(
    error: Exception, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Finder:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "synergy_trainer.attend.fused_kernels":
                raise error

    monkeypatch.setattr(fused, "_failures", [])
    monkeypatch.setattr(fused, "_kernels", fused.cache(fused._kernels.__wrapped__))
    monkeypatch.delitem(sys.modules, "synergy_trainer.attend.fused_kernels", raising=False)
    monkeypatch.delattr("synergy_trainer.attend.fused_kernels", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    assert [fused.missing() for _ in range(2)] == [why] * 2


@pytest.mark.parametrize(
    "words",
    [
        "CUDA error: no kernel image is available for execution on the device",
        "CUDA error: CUDA-capable device(s) is/are busy or unavailable",
    ],
)
def test_a_gpu_that_cannot_be_used_fails_in_words(words: str) -> None:
    failure = explain(RuntimeError(f"{words}\nCUDA kernel errors might be reported later"), CUDA)
    assert failure is not None
    assert failure.reason.startswith(f"cuda cannot be used ({words}): another process")
    # These are what graphs are given up for.
    assert (
        explain(RuntimeError("CUDA error: operation not permitted when stream is capturing"), CUDA)
        is None
    )


class FakeGraph:
    """A graph that replays what it is given."""

    replays: Callable[[], None]

    def replay(self) -> None:
        self.replays()


@pytest.fixture
def cuda_stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = SimpleNamespace(wait_stream=lambda _: None)
    for name, stub in {
        "device": lambda _: nullcontext(),
        "Stream": lambda: stream,
        "current_stream": lambda: stream,
        "stream": lambda _: nullcontext(),
        "CUDAGraph": FakeGraph,
        "graph": lambda _, stream: nullcontext(),
    }.items():
        monkeypatch.setattr(torch.cuda, name, stub)


@pytest.mark.parametrize("advances", [0, 1, 2])
def test_a_recorded_update_has_to_advance_by_one(
    advances: int, cuda_stubs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    weight, counter = torch.ones(3), torch.tensor(5.0)
    monkeypatch.setattr(FakeGraph, "replays", lambda _: counter.add_(advances), raising=False)

    def update(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        weight.sub_(x)
        counter.add_(1)
        return (weight.sum(),)

    if advances == 1:
        recorded = GraphedUpdate(update, [torch.ones(3)], [weight], counter)
        recorded.run(torch.full((3,), 2.0))
        assert torch.equal(recorded._inputs[0], torch.full((3,), 2.0))
        assert counter == 6
    else:
        with pytest.raises(RuntimeError, match=f"made {advances} updates"):
            GraphedUpdate(update, [torch.ones(3)], [weight], counter)
        assert counter == 5
    assert torch.equal(weight, torch.ones(3))


class OnCuda1(torch.Tensor):
    """A number of the CPU that says it is on the second GPU."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("cuda:1")


def test_graphs_are_recorded_and_replayed_on_their_own_device(
    cuda_stubs: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    current: list[Any] = [torch.device("cuda:0")]
    seen: list[tuple[str, Any]] = []

    @contextmanager
    def guard(device: Any) -> Iterator[None]:
        current.append(device)
        yield
        current.pop()

    counter = torch.tensor(0.0).as_subclass(OnCuda1)

    def replay(_: FakeGraph) -> None:
        seen.append(("replay", current[-1]))
        counter.add_(1)

    def update(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        seen.append(("update", current[-1]))
        return (x,)

    monkeypatch.setattr(torch.cuda, "device", guard)
    monkeypatch.setattr(FakeGraph, "replays", replay, raising=False)
    GraphedUpdate(update, [torch.ones(1)], [], counter).run(torch.ones(1))
    kinds = [kind for kind, _ in seen]
    assert kinds == ["update"] * 4 + ["replay"] * 2
    assert {device for _, device in seen} == {torch.device("cuda:1")}


class Streams:
    """CUDA's streams as PyTorch manages them; `done` lists what each has waited for or run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.current, self.done, self.recorded = "default", [], []
        monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
        monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
        monkeypatch.setattr(torch.cuda, "Stream", lambda: self.called("side"))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda: self.called(self.current))
        monkeypatch.setattr(torch.cuda, "stream", lambda each: self.as_current(each.name))
        monkeypatch.setattr(torch.cuda, "graph", self.graph)

    def called(self, name: str) -> Any:
        wait = lambda other: self.done.append(f"{name} waits for {other.name}")  # noqa: E731
        return SimpleNamespace(name=name, wait_stream=wait)

    @contextmanager
    def as_current(self, name: str) -> Iterator[None]:
        before, self.current = self.current, name
        try:
            yield
        finally:
            self.current = before

    @contextmanager
    def graph(self, _: FakeGraph, stream: Any = None) -> Iterator[None]:
        """Like PyTorch's, it leaves the current stream set where recording fails."""
        before, self.current = self.current, "another device's" if stream is None else stream.name
        self.recorded.append(self.current)
        yield
        self.current = before


@pytest.mark.parametrize("fails_at", [None, 2, 4])
def test_a_recording_has_its_own_stream_and_leaves_none_behind(
    fails_at: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether warming up, recording, or nothing fails, state is put back after all that ran."""
    streams, counter = Streams(monkeypatch), torch.tensor(5.0)
    monkeypatch.setattr(FakeGraph, "replays", lambda _: counter.add_(1), raising=False)
    calls = iter(range(1, 9))

    def update(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        streams.done.append(f"update on {streams.current}")
        if next(calls) == fails_at:
            raise RuntimeError("capture invalidated")
        return (x,)

    with nullcontext() if fails_at is None else pytest.raises(RuntimeError, match="invalidated"):
        GraphedUpdate(update, [torch.ones(1)], [], counter)
    assert streams.current == "default"
    assert streams.recorded == ([] if fails_at == 2 else ["side"])
    assert streams.done[0] == "side waits for default"
    assert set(streams.done[1:-1]) == {"update on side"}
    assert streams.done[-1] == "default waits for side"


def test_kernels_run_on_the_device_of_their_tensors(monkeypatch: pytest.MonkeyPatch) -> None:
    current: list[Any] = []

    @contextmanager
    def guard(x: torch.Tensor) -> Iterator[None]:
        current.append(x)
        yield
        current.pop()

    ran: list[Any] = []
    kernel = {(7,): lambda *given, **options: ran.append((current[-1], given, options))}
    monkeypatch.setattr(torch.cuda, "device_of", guard)
    monkeypatch.setattr(fused, "_kernels", lambda: SimpleNamespace(some=kernel))
    x = torch.ones(2)
    fused._launch("some", (7,), x, 3, block=16)
    assert ran == [(x, (x, 3), {"block": 16})]


class Products(TorchDispatchMode):
    """Notes the type of what is multiplied, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[torch.dtype] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, given: tuple = (), named: dict | None = None
    ) -> Any:
        if function.overloadpacket.__name__ in ("mm", "addmm", "bmm", "baddbmm"):
            self.found.append(given[-1].dtype)
        return function(*given, **(named or {}))


def test_under_bf16_the_last_product_stays_float32() -> None:
    cohort = Cohort(small(embed=64, layers=2), PAIR, CPU)
    inputs = torch.zeros(len(PAIR), 2, cohort.settings.length, dtype=torch.long)
    # `found` has attention written out, whose own products are of what its projections gave.
    with Products() as noted:
        logits = cohort.stack.logits(inputs, dtype=torch.bfloat16, found=[])
    assert logits.dtype == torch.float32
    assert noted.found[-1] == torch.float32
    projections = 4 * cohort.shape.layers
    assert noted.found.count(torch.bfloat16) >= projections
    assert noted.found[0] == torch.bfloat16


def test_speed_is_measured_after_the_device_has_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking for an update takes no time here; reading what it measured takes 4 seconds."""
    now, read = [0.0], Measured.of

    def slow(measured: Measured, names: Any) -> Any:
        now[0] += 4.0
        return read(measured, names)

    monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(Measured, "of", slow)
    settings = small(steps=4, log_every=2, probe_every=0)
    rates = [e.tokens_per_second for e in of_kind(train(settings, PAIR, device="cpu"), TrainStep)]
    tokens = settings.batch * settings.length
    assert rates[:2] == [tokens / 4.0] * 2


def test_deterministic_products_are_asked_for_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "CUBLAS_WORKSPACE_CONFIG"
    monkeypatch.setenv(name, "")
    monkeypatch.delenv(name)
    prepare_products(small(deterministic=True), CPU)
    prepare_products(small(), CUDA)
    assert name not in os.environ
    prepare_products(small(deterministic=True), CUDA)
    assert os.environ[name] == ":4096:8"
    asked: list[Any] = []
    monkeypatch.setattr(loop, "prepare_products", lambda *given: asked.append(given))
    settings = small(deterministic=True)
    train(settings, PAIR, device="cpu")
    assert asked == [(settings, CPU)]  # before anything is built


def test_what_cannot_be_deterministic_on_cuda_is_an_error() -> None:
    with modes(small(deterministic=True), CUDA):
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
    error = RuntimeError("kthvalue CUDA does not have a deterministic implementation")
    failure = explain(error, CUDA)
    assert failure is not None
    assert failure.reason.startswith("deterministic: PyTorch has no repeatable way")


def test_a_process_that_multiplied_before_is_told_what_to_set() -> None:
    """PyTorch looks at the variable once, before its first product, and says so in these words."""
    error = RuntimeError(
        "Deterministic behavior was enabled with either `torch.use_deterministic_algorithms(True)` "
        "or …, you must set an environment variable before running your PyTorch application: "
        "CUBLAS_WORKSPACE_CONFIG=:4096:8 or CUBLAS_WORKSPACE_CONFIG=:16:8."
    )
    failure = explain(error, CUDA)
    assert failure is not None
    assert failure.reason.endswith("set CUBLAS_WORKSPACE_CONFIG=:4096:8 before it starts")


class SlicesInReverse(TorchDispatchMode):
    """Notes how many numbers each gradient of a slice has."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[int] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, given: tuple = (), named: dict | None = None
    ) -> Any:
        result = function(*given, **(named or {}))
        if function.overloadpacket.__name__ in ("slice_backward", "select_backward"):
            self.found.append(result.numel())
        return result


@pytest.mark.parametrize("how", [{}, {"head_width": 3}], ids=str)
def test_queries_keys_and_values_are_split(how: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient of a slice is a tensor of zeros as large as the whole, one for each slice."""
    monkeypatch.setattr("synergy_trainer.attend.attention.lanes_serve", lambda _: False)
    settings = small()
    cohort = Cohort(settings, [replace(PAIR[0], **how)], CPU)
    with SlicesInReverse() as noted:
        cohort.update(measure=True)
    stream = settings.batch * settings.length * settings.embed
    assert noted.found == [stream]  # of the last layer, where only some tokens are scored


def test_the_card_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H100")
    monkeypatch.setattr("synergy_trainer.device._driver", lambda: "580.1")
    found = hardware(small(), CUDA)
    assert found.startswith("NVIDIA H100, driver 580.1, CUDA")
    assert found.endswith("TF32 products")
    assert hardware(small(precision="bf16"), CUDA).endswith("bf16 products")
    assert hardware(small(), CPU) == ""
    monkeypatch.setattr("synergy_trainer.cohort.hardware", lambda *_: "NVIDIA H100")
    events = train(small(steps=1), PAIR, device="cpu")
    assert {event.hardware for event in of_kind(events, RunStarted)} == {"NVIDIA H100"}


def test_a_cpu_trains_without_any_remark() -> None:
    events = list(train(small(steps=2), PAIR, device="cpu"))
    assert not of_kind(events, Warned)
    assert len(of_kind(events, RunFinished)) == 2
