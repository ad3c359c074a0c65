"""Everything that only a GPU can show, once, in at most five minutes, as one JSON file.

Run: `python -m tests.benchmarks.gpu_check` on a machine with a GPU; the exact command and what the
machine needs are in `trainer/README.md`. The most valuable check comes first, each has a small
budget, and the file is written again after each, so that a kill loses nothing. `--table FILE`
prints the tables of a file instead; tables are made from files, never typed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file

try:
    import lazy_loader  # noqa: F401
except ImportError:
    sys.exit(
        "gpu_check: needs lazy_loader, which is one small package of pure Python: pip install "
        "lazy_loader, or, where there is no network, add a folder with a copy of it to PYTHONPATH."
    )

import synergy_engine as engine
from synergy_trainer import Probe, RunFailed, RunSettings, RunStarted, TrainStep, Warned, train
from synergy_trainer.attend.dropout import Drops
from synergy_trainer.attend.fused import Affine, FusedAttention
from synergy_trainer.cohort import Cohort
from synergy_trainer.device import modes
from synergy_trainer.settings import make_task
from synergy_tui.words import short_decimals
from tests.benchmarks.paper_protocol import HEADS, PAPER, PUBLISHED, attention_of

Report = dict[str, Any]
KEEP: Path | None = None  # where the protocol leaves its networks and some of their attention
RESULTS = Path(__file__).parent / "results"
OPTIONS: dict[str, dict[str, Any]] = {
    "graph tf32": {},
    "graph fp32": {"tf32": False},
    "graph bf16": {"precision": "bf16"},
    "eager tf32": {"cuda_graphs": False},
}
PROFILED = [torch.profiler.ProfilerActivity.CUDA, torch.profiler.ProfilerActivity.CPU]


def on_device(profile: torch.profiler.profile) -> list[Any]:
    return [e for e in profile.events() if e.device_type == torch.autograd.DeviceType.CUDA]


def tried(work: Callable[[], Report]) -> Report:
    """What `work` reports; whatever goes wrong is a finding, too, and does not cost the others."""
    try:
        return work()
    except Exception:
        return {"failed": traceback.format_exc()[-3000:]}


class Updates:
    """So many times the paper's four models, of its tasks in turn, as one stack that is timed."""

    def __init__(self, device: torch.device, times: int, **changes: Any) -> None:
        runs = [
            RunSettings(f"{heads}-{k}", heads, seed=k // 2, task=("copy", "cycle")[k % 2])
            for k in range(times)
            for heads in HEADS
        ]
        self.cohort = Cohort(replace(PAPER, **changes), runs, device)
        self.device = device
        for _ in range(5 if device.type == "cuda" else 1):
            self.cohort.update(measure=False)

    def wait(self) -> float:
        """Wait for the device and return the time."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def milliseconds(self, steps: int) -> Report:
        """Per update, until the device is done and until the host has asked for it."""
        started = self.wait()
        for _ in range(steps):
            self.cohort.update(measure=False)
        host = time.perf_counter() - started
        found: Report = {
            "step": 1e3 * (self.wait() - started) / steps,
            "host": 1e3 * host / steps,
        }
        if self.cohort.remarks:  # what was asked for and did not work
            found["remarks"] = self.cohort.remarks
        return found

    def kernels(self) -> Report:
        """What one update launches: how many kernels, busy time, and the longest by name."""
        with torch.profiler.profile(activities=PROFILED) as profile:
            self.cohort.update(measure=False)
            self.wait()
        found: dict[str, list[float]] = {}
        for event in on_device(profile):
            found.setdefault(event.name[:90], []).append(event.device_time)
        longest = sorted(found.items(), key=lambda item: -sum(item[1]))[:25]
        return {
            "launches": sum(map(len, found.values())),
            "busy_ms": sum(map(sum, found.values())) / 1e3,
            "top": [{"name": n, "count": len(t), "us": round(sum(t), 1)} for n, t in longest],
        }


def output_of(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def machine(device: torch.device) -> Report:
    """Names, versions, and the two limits: bytes and products per second."""
    found: Report = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": date.today().isoformat(),
        "commit": output_of("git", "rev-parse", "HEAD"),
        "gpu": "CPU",
    }
    if device.type != "cuda":
        return found
    found |= {
        "gpu": torch.cuda.get_device_name(device),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "arch": torch.cuda.get_arch_list(),
        "smi": output_of(
            "nvidia-smi",
            "--query-gpu=driver_version,clocks.sm,clocks.max.sm",
            "--format=csv,noheader",
        ),
    }
    return found | tried(lambda: limits(device))


def limits(device: torch.device) -> Report:
    """Bytes and products per second, in 10¹²."""

    def seconds(work: Callable[[], object]) -> float:
        work()
        torch.cuda.synchronize()
        started = time.perf_counter()
        for _ in range(10):
            work()
        torch.cuda.synchronize()
        return (time.perf_counter() - started) / 10

    found: Report = {}
    there, back = torch.empty(2, 2**28, device=device)
    found["copy_TBps"] = 8 * 2**28 / seconds(lambda: there.copy_(back)) / 1e12
    for name, kind, tf32 in (
        ("bf16", torch.bfloat16, False),
        ("tf32", torch.float32, True),
        ("fp32", torch.float32, False),
    ):
        left, right = torch.randn(2, 8192, 8192, device=device, dtype=kind)
        with modes(replace(PAPER, tf32=tf32), device):
            found[f"{name}_TFLOPs"] = 2 * 8192**3 / seconds(lambda a=left, b=right: a @ b) / 1e12
    return found


def attention(device: torch.device) -> Report:
    """Kernel of F.scaled_dot_product_attention for each width and type, and the share it drops.

    A query that sees one key gives exactly 0 where that key is dropped.
    """
    found = {}
    sequences = 4000 if device.type == "cuda" else 200
    for heads, kind in itertools.product(HEADS, (torch.float32, torch.bfloat16)):
        qkv = torch.randn(sequences, 100, 3, heads, 64 // heads, device=device, dtype=kind)
        qkv[:, :, 2] = 1.0
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        with torch.profiler.profile(activities=PROFILED) as profile:
            out = F.scaled_dot_product_attention(q, k, v, dropout_p=0.1, is_causal=True)
            dropped = (out[:, :, 0, 0] == 0).float().mean().item()
        names = [event.name[:80] for event in on_device(profile)]
        found[f"{heads} heads {kind}"] = {"dropped": round(dropped, 4), "kernels": names[:6]}
    return found


def tests(device: torch.device) -> Report:
    """`tests/trainer/test_gpu.py` without compilation; what failed, in pytest's words."""
    command = [
        *(sys.executable, "-m", "pytest", "-q", "--maxfail=20", "-c", "/dev/null"),
        *("--rootdir=.", "--import-mode=importlib", "-m", "not slow"),
        *("-p", "no:cacheprovider", "tests/trainer/test_gpu.py"),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=100 if device.type == "cuda" else 300,
    )
    return {"rc": done.returncode, "tail": done.stdout[-3000:]}


def steps(device: torch.device) -> Report:
    """Milliseconds per step of 4, 8, 20 and 40 models by option; kernels of one graphed step."""
    found: Report = {}
    on_gpu = device.type == "cuda"
    combinations = [(1, name) for name in OPTIONS] + [(2, "graph tf32"), (2, "graph bf16")]
    combinations += [(5, "graph tf32"), (10, "graph tf32")]
    for times, name in combinations if on_gpu else combinations[:4]:

        def timed(times: int = times, name: str = name) -> Report:
            updates = Updates(device, times, **OPTIONS[name])
            measured = updates.milliseconds(100 if on_gpu else 1)
            if on_gpu and name == "graph tf32" and times < 5:
                found[f"{4 * times} models, kernels"] = tried(updates.kernels)
            return measured

        found[f"{4 * times} models, {name}"] = tried(timed)
    return found


_ANALYSES: dict[str, Any] = {}  # of the protocol's attention, at work on the processor


def protocol(device: torch.device) -> Report:
    """The paper's 8 runs of 20,000 steps as one stack: seconds, and how each ended."""
    count, inputs = (PAPER.steps, PAPER.probe_inputs) if device.type == "cuda" else (2, 2)
    found: Report = {"steps": count, "runs": {}}
    runs = [RunSettings(f"{task}-{h}", h, task=task) for task in PUBLISHED for h in HEADS]
    settings = replace(PAPER, steps=count, probe_inputs=inputs, norms=True)
    last: dict[str, Probe] = {}
    started = time.perf_counter()
    for event in train(settings, runs, device=str(device), directory=KEEP):
        if isinstance(event, Probe) and event.step == count:
            last[event.run] = event
        elif isinstance(event, TrainStep) and event.step == count:
            found["reported tokens/s"] = event.tokens_per_second
        elif isinstance(event, RunStarted):
            found["hardware"] = event.hardware
        elif isinstance(event, Warned | RunFailed):
            found.setdefault("remarks", []).append(str(event)[:500])
    found["total_seconds"] = time.perf_counter() - started
    for run in runs:
        if run.name not in last:  # it failed, as the remarks say
            continue
        own, probe = make_task(run.over(settings)), last[run.name]
        found["runs"][run.name] = {
            "loss": probe.loss,
            "accuracy": probe.accuracy,
            "floor": own.floor,
            "ceiling": own.ceiling,
        }
    if KEEP is not None:
        _keep(KEEP, last.values(), count)
    pool = ProcessPoolExecutor(4, multiprocessing.get_context("spawn"))
    _ANALYSES.update({probe.run: pool.submit(analysed, probe) for probe in last.values()})
    return found


def _keep(folder: Path, probes: Iterable[Probe], steps: int) -> None:
    """The final attention of three inputs, and a scenario per task from which to report on it."""
    for probe in probes:
        arrays = {
            "attention": np.ascontiguousarray(probe.attention[:3]),
            "head_weights": probe.head_weights,
            "tokens": np.ascontiguousarray(probe.tokens[:3]),
        }
        save_file(arrays, folder / f"{probe.run}.safetensors")
    for task in PUBLISHED:
        head = (
            f'title = "The paper\'s protocol after {steps:,} steps: {task}"\n\n'
            '[analysis]\nalso = ["paper-code", "feedforward"]\n'
        )
        runs = (
            f'\n[[runs]]\nname = "heads-{h}"\nattention = "{task}-{h}.safetensors"\n' for h in HEADS
        )
        (folder / f"{task}.toml").write_text(head + "".join(runs), encoding="utf-8")


def analysed(probe: Probe) -> Report:
    """Steps and fidelity of single layers, as published, and fidelity and synergy of all layers."""
    assert probe.gamma is not None
    gammas = ("half", "norm")
    whole = engine.layered(
        probe.attention, probe.head_weights, gammas=gammas, norms=probe.gamma, rows="normalise"
    )
    return {
        "attention": attention_of(probe),
        "layered": {
            name: {key: each[key] for key in ("minimax", "normalised", "synergy", "exact")}
            for name, each in zip(gammas, whole, strict=True)
        },
    }


def findings(device: torch.device) -> Report:
    """The final attention of every run of the protocol beside the published numbers."""
    found: Report = {}
    # All together: a card's minutes are few.
    deadline = time.monotonic() + (60 if device.type == "cuda" else 400)
    for name, at_work in _ANALYSES.items():
        task, heads = name.split("-")
        place = HEADS.index(int(heads))
        row = found[name] = {"published": [float(each.split()[place]) for each in PUBLISHED[task]]}
        left = max(0.0, deadline - time.monotonic())
        row |= tried(lambda at_work=at_work, left=left: at_work.result(timeout=left))
    return found


def same_bits(device: torch.device) -> Report:
    """Whether a training repeats to the bit: lengths on either side of one block of keys."""
    found = {}
    for length, deterministic in itertools.product((100, 300), (False, True)):
        settings = replace(
            PAPER,
            length=length,
            deterministic=deterministic,
            steps=100 if device.type == "cuda" else 2,
            batch=16 if device.type == "cuda" else 2,
            probe_inputs=1,
            sequences=0,
            log_every=1,
        )
        once, again = (
            list(train(settings, [RunSettings("4", 4)], device=str(device))) for _ in range(2)
        )
        losses = [[e.loss for e in made if isinstance(e, TrainStep)] for made in (once, again)]
        failed = [event.reason for event in once if isinstance(event, RunFailed)]
        whole = len(losses[0]) == settings.steps
        found[f"length {length}, deterministic {deterministic}"] = (
            losses[0] == losses[1] if whole else f"failed: {failed}"
        )
    return found


def fused(device: torch.device) -> Report:
    """The kernels for CUDA: microseconds forward and backward, and how far from float64."""
    options = ("tf32", "float32", "bf16")
    return {
        f"{heads} heads, {option}": tried(lambda h=heads, o=option: fused_attention(device, h, o))
        for heads, option in itertools.product(HEADS, options)
    } | {f"affine, {option}": tried(lambda o=option: affine(device, o)) for option in options}


def apart(found: Iterable[torch.Tensor], wanted: Iterable[torch.Tensor]) -> list[float]:
    """Relative differences of a result and its gradients."""
    pairs = zip(found, wanted, strict=True)
    return [((one - other).norm() / other.norm()).item() for one, other in pairs]


def fused_attention(device: torch.device, heads: int, option: str) -> Report:
    """Of 100 sequences with dropout .1."""
    kind = torch.bfloat16 if option == "bf16" else torch.float32
    count, width = 100 if device.type == "cuda" else 2, 64 // heads
    generator = torch.Generator(device).manual_seed(heads)
    qkv, gradient = (
        torch.randn(*shape, generator=generator, device=device).to(kind)
        for shape in ((1, count, 100, 3, heads, width), (1, count, 100, heads, width))
    )
    drops = Drops(torch.tensor([0x12345678], device=device), 0.1)

    def both() -> tuple[torch.Tensor, torch.Tensor]:
        leaf = qkv.detach().requires_grad_()
        out = FusedAttention.apply(leaf.flatten(3), [heads], drops).unflatten(3, (heads, -1))
        return out, torch.autograd.grad(out, leaf, gradient)[0]

    exact = qkv.double().requires_grad_()
    queries, keys, values = (x[0].transpose(1, 2) for x in exact.unbind(3))
    future = torch.ones(100, 100, dtype=torch.bool, device=device).triu(1)
    shares = (queries @ keys.mT * width**-0.5).masked_fill(future, -torch.inf).softmax(-1)
    kept = drops.kept(count, heads, 100, 100)[0]
    wanted = ((shares * kept * drops.gain) @ values).transpose(1, 2)[None]
    of_qkv = torch.autograd.grad(wanted, exact, gradient.double())[0]
    with modes(replace(PAPER, tf32=option == "tf32"), device):
        found: Report = {
            "dropped": 1 - kept.float().mean().item(),
            "apart": apart(both(), (wanted, of_qkv)),
        }
        if device.type == "cuda":
            from triton.testing import do_bench_cudagraph

            found["us"] = round(1e3 * do_bench_cudagraph(both, rep=5), 1)
    return found


def affine(device: torch.device, option: str) -> Report:
    """Of 8 models."""
    kind = torch.bfloat16 if option == "bf16" else torch.float32
    tokens = 5000 if device.type == "cuda" else 100
    given = [
        torch.randn(*shape, device=device).to(kind).requires_grad_()
        for shape in ((8, tokens, 64), (8, 192, 64), (8, 192))
    ]
    exact = [each.detach().double().requires_grad_() for each in given]
    gradient = torch.randn(8, tokens, 192, device=device).to(kind)
    with modes(replace(PAPER, tf32=option == "tf32"), device):
        out = Affine.apply(*given)
        ours = (out, *torch.autograd.grad(out, given, gradient))
    out = torch.baddbmm(exact[2][:, None], exact[0], exact[1].mT)
    return {"apart": apart(ours, (out, *torch.autograd.grad(out, exact, gradient.double())))}


def compiled(device: torch.device) -> Report:
    """What `compile` gains, and the time it takes itself."""
    started = time.perf_counter()
    updates = Updates(device, 1, compile=True)
    first = updates.wait() - started
    return {"first": first, **updates.milliseconds(100 if device.type == "cuda" else 1)}


CHECKS = (machine, protocol, steps, tests, findings, fused, same_bits, attention, compiled)


def tables(found: Report) -> str:
    """Markdown of a result's main numbers."""
    about, protocol = found["machine"], found.get("protocol", {})
    lines = [f"{about['gpu']}, torch {about['torch']}, {about['date']}, at {about['commit'][:7]}"]
    lines += ["", "| models, option | ms per step | ms on the host |", "| --- | ---: | ---: |"]
    for name, row in found.get("steps", {}).items():
        if isinstance(row, dict) and "step" in row:
            lines.append(f"| {name} | {row['step']:.2f} | {row['host']:.2f} |")
    if "runs" in protocol:
        runs, seconds = protocol["runs"], protocol["total_seconds"]
        lines += ["", f"{len(runs)} runs of {protocol['steps']:,} steps in {seconds:.0f} s; "]
        lines[-1] += "ours (published):"
    columns = ("steps, paper-code", "steps, proper", "fidelity %, paper-code", "fidelity %, proper")
    lines += ["", f"| run | loss | accuracy | {' | '.join(columns)} | all layers: φ, synergy |"]
    lines += ["| --- " * 8 + "|"]
    for name, row in protocol.get("runs", {}).items():
        seen = found.get("findings", {}).get(name, {})
        pairs = zip(seen.get("attention", []), seen.get("published", []), strict=False)
        cells = [f"{ours:.3g} ({theirs:g})" for ours, theirs in pairs] or ["not measured"] * 4
        half = seen.get("layered", {}).get("half")
        whole = f"{half['minimax']:.2g}, {half['synergy']:.2f}" if half else "not measured"
        ends = f"| {name} | {row['loss']:.4f} | {row['accuracy']:.4f} "
        lines.append(f"{ends}| {' | '.join(cells)} | {whole} |")
    return short_decimals("\n".join(lines))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--device", default="cuda")
    arguments.add_argument("--out", type=Path, help="default: results/<card>-<date>.json here")
    arguments.add_argument("--only", nargs="*", choices=[check.__name__ for check in CHECKS])
    arguments.add_argument("--table", type=Path, help="print the tables of this file")
    arguments.add_argument("--commit", help="of this tree, where there is no git to ask")
    arguments.add_argument(
        "--keep", type=Path, help="folder for the protocol's networks, attention and scenarios"
    )
    chosen = arguments.parse_args()
    if chosen.table:
        print(tables(json.loads(chosen.table.read_text(encoding="utf-8"))))
        return
    if chosen.only and not chosen.out:
        arguments.error("--only needs --out FILE: a part would replace the whole result of today")
    if chosen.keep and (chosen.keep / "checkpoints").exists():
        arguments.error(f"--keep: {chosen.keep} has networks of an earlier protocol; name another")
    device = torch.device(chosen.device)
    # PyTorch looks at it once, before its first product: later no check could be deterministic.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if device.index is not None:
        torch.cuda.set_device(device)  # or Triton's timer and the limits would measure another
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    name = re.sub(r"\W+", "-", card.removeprefix("NVIDIA ")).lower()
    out = chosen.out or RESULTS / f"{name}-{date.today().isoformat()}.json"
    global KEEP
    KEEP = chosen.keep
    out.parent.mkdir(parents=True, exist_ok=True)
    found: Report = {}
    for check in CHECKS:
        if chosen.only and check.__name__ not in chosen.only:
            continue
        started = time.perf_counter()
        report = tried(lambda check=check: check(device))
        if check is machine and chosen.commit:
            report["commit"] = chosen.commit
        found[check.__name__] = {"seconds": round(time.perf_counter() - started, 1), **report}
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"{check.__name__}: {json.dumps(found[check.__name__])[:1500]}", flush=True)


if __name__ == "__main__":
    main()
