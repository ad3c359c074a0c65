"""What this machine offers: each finding is a fact with a state and, where useful, advice.

Nothing here raises: a probe that fails becomes a finding that says so, since the machine on which
something is broken is the one this is for.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import locale
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, Literal

from synergy_tui import __version__
from synergy_tui.errors import EXTRAS, UserError
from synergy_tui.files import home as default_home
from synergy_tui.login import ends_at_logout, tmux_draws_ascii
from synergy_tui.words import counted, size

# `note` is worth knowing, `warning` works worse than it could, with `broken` runs will fail.
State = Literal["ok", "note", "warning", "broken"]

# Below these the app still works, but wraps or runs out of room.
SMALLEST_TERMINAL = (80, 24)
LITTLE_DISK = 2 * 2**30
LITTLE_MEMORY = 2 * 2**30

_MULTIPLEXERS = {"SSH": "SSH_CONNECTION", "tmux": "TMUX", "screen": "STY"}
# Extra → the distribution whose version shows that it is installed.
_DISTRIBUTIONS = {
    "figures": "matplotlib",
    "parquet": "pyarrow",
    "tensorboard": "tensorboard",
    "wandb": "wandb",
    "hf": "transformers",
    "report": "jinja2",
    "gpu": "nvidia-ml-py",
    "ray": "ray",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about the machine."""

    name: str  # what was looked at, as in `gpu`
    state: State
    text: str  # one line, for a person
    advice: str = ""  # what to do about it, where there is something to do
    data: dict[str, Any] = field(default_factory=dict)  # for a program: JSON values, sizes in bytes

    def as_dict(self) -> dict[str, Any]:
        """The finding as plain JSON values."""
        return asdict(self)


def examine(home: Path | None = None) -> Iterator[Finding]:
    """Yield what each probe finds, in reading order; ``home`` is the folder of the experiments."""
    probes: dict[str, Callable[[], Finding]] = {
        "synergy": _synergy,
        "processor": _processor,
        "memory": _memory,
        "torch": _torch,
        "gpu": _gpu,
        "numba": _numba,
        "disk": lambda: _disk(home),
        "terminal": _terminal,
        "logout": _logout,
        "colour": _colour,
        "extras": _extras,
    }
    for name, probe in probes.items():
        try:
            yield probe()
        except Exception as error:  # whatever is wrong here is the finding
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            yield Finding(name, "broken", f"could not be examined: {reason}")


def _synergy() -> Finding:
    data = {
        "version": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "executable": sys.executable,
    }
    text = f"{__version__} on Python {data['python']}, {data['platform']}"
    return Finding("synergy", "ok", text, data=data)


def _processor() -> Finding:
    count, usable = os.cpu_count() or 1, usable_cores()
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    quota = _cgroup_cores()
    data = {"name": name, "cores": count, "usable": usable, "quota": quota}
    text = f"{usable} of {count} cores usable ({name})"
    if quota is not None and quota < usable:
        advice = "More threads than the container's share only queue: set OMP_NUM_THREADS."
        return Finding("processor", "note", f"{text}, of which {quota:g} granted", advice, data)
    return Finding("processor", "ok", text, data=data)


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def _cgroup_cores() -> float | None:
    """Cores that a container may use, when it is limited."""
    limit = Path("/sys/fs/cgroup/cpu.max")
    if not limit.is_file():
        return None
    quota, period = limit.read_text().split()
    return None if quota == "max" else int(quota) / int(period)


def _memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    total, available = memory.total, memory.available
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()) != "max":
        total = min(total, int(text))
        available = min(available, total)
    data = {"total": total, "available": available}
    line = f"{size(available)} of {size(total)} free"
    if available < LITTLE_MEMORY:
        return Finding("memory", "warning", line, "Use a smaller batch, or close something.", data)
    return Finding("memory", "ok", line, data=data)


def _torch() -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:
        advice = "Install it again: python -m pip install --force-reinstall torch"
        return Finding("torch", "broken", f"cannot be imported: {error}", advice)
    build = _build(torch)
    threads = torch.get_num_threads()
    data = {"version": torch.__version__, "build": build, "threads": threads}
    text = f"{torch.__version__} ({build} build), {counted(threads, 'thread')}"
    return Finding("torch", "ok", text, data=data)


def _build(torch: Any) -> str:
    if torch.version.cuda:
        return f"CUDA {torch.version.cuda}"
    if getattr(torch.version, "hip", None):
        return f"ROCm {torch.version.hip}"
    return "CPU"


def _gpu() -> Finding:
    driver = _driver()
    data: dict[str, Any] = {"driver": driver, "devices": []}
    try:
        import torch
    except (ImportError, OSError):
        return Finding("gpu", "note", "unknown: torch cannot be imported", data=data)
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            free, total = torch.cuda.mem_get_info(index)
            data["devices"].append(
                {
                    "name": properties.name,
                    "capability": f"{properties.major}.{properties.minor}",
                    "memory": total,
                    "free": free,
                }
            )
        shown = ", ".join(
            f"{each['name']} ({size(each['free'])} of {size(each['memory'])} free)"
            for each in data["devices"]
        )
        shown += f", driver {driver}" if driver else ""
        for index, each in enumerate(data["devices"]):
            if problem := _gpu_problem(torch, index, each["capability"]):
                advice = "Install another build of torch: https://pytorch.org/get-started/locally/"
                text = f"{shown}; {each['name']} cannot be used: {problem}"
                return Finding("gpu", "broken", text, advice, data)
        return Finding("gpu", "ok", shown, data=data)
    if torch.backends.mps.is_available():
        data["devices"].append({"name": "Apple GPU (mps)"})
        return Finding("gpu", "ok", "Apple GPU (mps)", data=data)
    if driver is None:
        return Finding("gpu", "ok", "none; training runs on the processor", data=data)
    if torch.version.cuda is None:
        advice = "Install a CUDA build of torch: https://pytorch.org/get-started/locally/"
        return Finding(
            "gpu", "warning", f"driver {driver}, but this torch is a CPU build", advice, data
        )
    advice = "The driver may be older than this torch needs, or the GPU hidden from this process."
    return Finding("gpu", "warning", f"driver {driver}, but torch sees no GPU", advice, data)


def _gpu_problem(torch: Any, index: int, capability: str) -> str | None:
    """What keeps this torch from computing on a GPU: it is built for others, or a kernel fails."""
    # AMD's names, as gfx90a, are not those of capabilities.
    built = [each for each in torch.cuda.get_arch_list() if each.startswith(("sm_", "compute_"))]
    major, minor = map(int, capability.split("."))
    serves = False
    for name in built:
        kind, _, number = name.partition("_")
        digits = number.rstrip("af")
        for_major, for_minor = int(digits[:-1]), int(digits[-1])
        if kind == "compute":  # compiled for newer ones by the driver
            serves |= (for_major, for_minor) <= (major, minor)
        else:
            serves |= for_major == major and for_minor <= minor
    if built and not serves:
        return f"torch is built for {', '.join(built)}, and it is sm_{major}{minor}"
    try:
        if int(torch.ones(2, device=f"cuda:{index}").sum()) == 2:
            return None
    except RuntimeError as error:
        return str(error).partition("\n")[0]
    return "it adds wrongly"


def _driver() -> str | None:
    """The NVIDIA driver's version, if there is one."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        done = subprocess.run(
            [program, "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "that does not answer"
    first = done.stdout.split("\n")[0].strip() or None
    return first if done.returncode == 0 else "that does not answer"


def _numba() -> Finding:
    try:
        import numba
    except (ImportError, OSError) as error:
        advice = "Install it again: python -m pip install --force-reinstall numba"
        return Finding("numba", "broken", f"cannot be imported: {error}", advice)
    from synergy_engine.kernels.cache import cache_folder

    folder = cache_folder()
    kept = size(sum(each.stat().st_size for each in folder.glob("*.nb?")))
    lasting = not folder.is_relative_to(tempfile.gettempdir())
    threads = numba.get_num_threads()
    data = {
        "version": numba.__version__,
        "threads": threads,
        "cache": str(folder),
        "cache_lasting": lasting,
    }
    text = (
        f"{numba.__version__}, {counted(threads, 'thread')}, compiled kernels in {folder} ({kept})"
    )
    if lasting:
        return Finding("numba", "ok", text, data=data)
    advice = (
        "Neither the installation nor a cache folder can be written, so kernels are compiled again "
        "once that is emptied: NUMBA_CACHE_DIR names a better place."
    )
    return Finding("numba", "note", text, advice, data)


def _writable(folder: Path) -> bool:
    """Whether files can be made in ``folder``, or in the nearest parent that exists."""
    folder = _existing(folder)
    return folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _disk(home: Path | None) -> Finding:
    try:
        folder = home or default_home()
    except UserError as error:
        return Finding("disk", "broken", error.message, error.hint or "")
    free = shutil.disk_usage(_existing(folder)).free
    data = {"experiments": str(folder), "free": free, "writable": _writable(folder)}
    text = f"experiments in {folder}, {size(free)} free"
    if not data["writable"]:
        advice = "Name a folder you may write with --out DIR or SYNERGY_HOME."
        return Finding("disk", "broken", f"{text}, not writable", advice, data)
    if free < LITTLE_DISK:
        advice = "`synergy rm` removes old experiments."
        return Finding("disk", "warning", text, advice, data)
    return Finding("disk", "ok", text, data=data)


def _terminal() -> Finding:
    columns, lines = shutil.get_terminal_size()
    encoding = sys.stdout.encoding or locale.getpreferredencoding(False)
    over = [name for name, key in _MULTIPLEXERS.items() if os.environ.get(key)]
    data: dict[str, Any] = {
        "tty": sys.stdout.isatty(),
        "columns": columns,
        "lines": lines,
        "term": os.environ.get("TERM", ""),
        "encoding": encoding,
        "over": over,
    }
    text = f"{data['term'] or 'unknown'}, {columns}x{lines}, {encoding}"
    if over:
        text += f", over {' and '.join(over)}"
    if not data["tty"]:
        advice = "The app needs a terminal; runs go headless without one."
        return Finding("terminal", "note", f"{text}; output is not a terminal", advice, data)
    if not _draws_braille(encoding):
        advice = "Charts are drawn with braille: use a UTF-8 locale, as in LANG=C.UTF-8."
        return Finding("terminal", "warning", f"{text}; cannot show braille", advice, data)
    if tmux_draws_ascii():
        advice = "Start tmux with -u, or in a UTF-8 locale; the app draws ASCII in this one."
        return Finding("terminal", "note", f"{text}; tmux shows no UTF-8", advice, data)
    if columns < SMALLEST_TERMINAL[0] or lines < SMALLEST_TERMINAL[1]:
        advice = "The app is made for 80x24 and larger."
        return Finding("terminal", "warning", text, advice, data)
    return Finding("terminal", "ok", text, data=data)


def _draws_braille(encoding: str) -> bool:
    try:
        "⣿│┄●".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _logout() -> Finding:
    """Whether runs continue after logging out."""
    if remedy := ends_at_logout():
        text = "systemd ends runs when you log out"
        return Finding("logout", "warning", text, f"To keep them: {remedy}.", {"continue": False})
    return Finding("logout", "ok", "runs continue after you log out", data={"continue": True})


def _colour() -> Finding:
    from rich.console import Console

    system = Console(file=sys.stdout).color_system
    plain = bool(os.environ.get("NO_COLOR"))
    data = {"system": system, "no_color": plain}
    if plain:
        return Finding("colour", "note", "off, because NO_COLOR is set", data=data)
    if system == "truecolor":
        return Finding("colour", "ok", "true colour", data=data)
    if system is None:
        return Finding("colour", "note", "no colours here", data=data)
    advice = "If the terminal knows true colour, set COLORTERM=truecolor."
    return Finding("colour", "note", f"{system} colours", advice, data)


def _extras() -> Finding:
    versions: dict[str, str | None] = dict.fromkeys(_DISTRIBUTIONS)
    for extra, distribution in _DISTRIBUTIONS.items():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[extra] = importlib.metadata.version(distribution)
    present = [
        f"{_DISTRIBUTIONS[extra]} {version}" for extra, version in versions.items() if version
    ]
    absent = [extra for extra, version in versions.items() if version is None]
    text = ", ".join(present) or "none"
    if not absent:
        return Finding("extras", "ok", text, data=versions)
    advice = "; ".join(f'pip install "synergy-heads[{extra}]": {EXTRAS[extra]}' for extra in absent)
    return Finding("extras", "note", f"{text}; absent: {', '.join(absent)}", advice, versions)


def visible_gpus() -> list[str] | None:
    """The GPUs that CUDA_VISIBLE_DEVICES names, or ``None`` where it is not set.

    CUDA ignores a name that it does not understand, and all that follow.
    """
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    if names is None:
        return None
    given = map(str.strip, names.split(","))
    return list(takewhile(lambda name: name.isdigit() or name.startswith(("GPU-", "MIG-")), given))


@functools.cache  # each experiment of a sweep records it
def describe_machine() -> str:
    """Processor, cores, memory and system of this machine, as ``synergy doctor`` finds them."""
    # The first three findings; the later ones load torch.
    found = {finding.name: finding.data or {} for finding in islice(examine(), 3)}
    processor, memory = found.get("processor", {}), found.get("memory", {})
    parts = [str(processor.get("name", platform.machine()))]
    if cores := processor.get("quota") or processor.get("usable"):
        parts.append(f"{cores:g} cores")
    if total := memory.get("total"):
        parts.append(f"{total / 2**30:.0f} GiB")
    parts.append(f"{platform.system()} {platform.machine()}")
    return ", ".join(parts)
