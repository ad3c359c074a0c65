"""One point trained by several processes: ``torchrun … -m …data_parallel DIR``.

Every process takes its share of each batch and gradients are averaged, so together they make the
updates that one process would (``[sweep] data_parallel = N``). The first process is the ordinary
runner and writes the experiment; the others only train along.
"""

from __future__ import annotations

import datetime
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from synergy_tui.errors import ExitCode, UserError
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.running.runner import run_experiment
from synergy_tui.running.signals import PATIENCE_SECONDS, Stopper, stop_on_signals
from synergy_tui.running.worker import worker_options
from synergy_tui.scenario.training import training_of

if TYPE_CHECKING:
    import torch

# How long the others wait for one that is late before they give up.
PATIENCE = datetime.timedelta(minutes=10)
LOOK_SECONDS = 0.2


class ProcessGroup:
    """What :func:`synergy_trainer.train` needs of the processes that share its batches."""

    def __init__(self, device: str) -> None:
        import torch.distributed as dist

        self._dist = dist
        on_gpu = device.startswith("cuda")
        dist.init_process_group("nccl" if on_gpu else "gloo", timeout=PATIENCE)
        self.rank: int = dist.get_rank()
        self.size: int = dist.get_world_size()

    def average_(self, tensors: list[torch.Tensor]) -> None:
        """Replace each tensor by its mean over all processes, in one exchange per type."""
        import torch

        for kind in dict.fromkeys(tensor.dtype for tensor in tensors):
            own = [tensor for tensor in tensors if tensor.dtype == kind]
            flat = torch.cat([tensor.reshape(-1) for tensor in own])
            self._dist.all_reduce(flat)
            flat /= self.size
            parts = flat.split([tensor.numel() for tensor in own])
            for tensor, part in zip(own, parts, strict=True):
                tensor.copy_(part.view_as(tensor))

    def close(self) -> None:
        self._dist.destroy_process_group()


def run_parallel(
    experiment: Experiment, processes: int, *, device: str, threads: int, stopper: Stopper
) -> int:
    """Execute an experiment with several processes of this machine and return its exit code.

    With CUDA each process takes a device of its own; ``threads`` are those of each process. Once
    ``stopper`` asks to stop, the processes checkpoint and stop.
    """
    train = experiment.scenario().train
    if train is not None and train.batch % processes:
        raise UserError(
            f"{experiment.id}: a batch of {train.batch} cannot be shared by {processes} processes.",
            hint="Make train.batch a multiple of sweep.data_parallel.",
        )
    child = subprocess.Popen(
        [
            *(sys.executable, "-P", "-m", "torch.distributed.run", "--standalone"),
            *(f"--nproc-per-node={processes}", "-m", "synergy_tui.sweep.executors.data_parallel"),
            *(str(experiment.path), f"--device={device}", f"--threads={threads}"),
            # Decided here: by the time the last process looks, the first may have written one.
            f"--resume={int(experiment.checkpoints.exists())}",
        ],
        stdin=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": str(threads)},
    )
    asked = False
    while child.poll() is None:
        if stopper() and not asked:
            asked = True
            child.send_signal(signal.SIGTERM)
        time.sleep(LOOK_SECONDS)
    ending = experiment.ending()
    if ending is None:
        return int(ExitCode.RUN_FAILED)
    return int(ending["exit_code"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Be one of the processes of an experiment."""
    options = worker_options(
        "synergy_tui.sweep.executors.data_parallel",
        arguments,
        directory=str,
        device=str,
        threads=int,
        resume=int,
    )
    os.umask(0o077)
    import torch

    import synergy_trainer as trainer

    torch.set_num_threads(options["threads"])
    device = options["device"]
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    experiment = Experiment(options["directory"])
    group = ProcessGroup(device)
    stopper = Stopper(patience=PATIENCE_SECONDS)

    def train(settings: Any, runs: Sequence[Any], **given: Any) -> Iterator[Any]:
        given |= {"device": device, "resume": bool(options["resume"])}
        return trainer.train(settings, runs, **given, parallel=group)

    try:
        with stop_on_signals(stopper, detached=True):
            if group.rank == 0:
                return run_experiment(
                    experiment,
                    device=device,
                    threads=options["threads"],
                    should_stop=stopper,
                    train=train,
                )
            settings, runs = training_of(experiment.scenario())
            for _ in train(settings, runs, directory=experiment.path, should_stop=stopper):
                pass
            return int(ExitCode.OK)
    finally:
        group.close()


if __name__ == "__main__":
    # An exit code would make torchrun report a crash; the experiment's log has the true one.
    main()
