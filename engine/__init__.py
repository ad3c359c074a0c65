"""Propagation of information over multi-head DAG systems: exact, certified, fast.

Measures how soon (walks, hitting and mixing times) and how clearly (diffusion, minimax fidelity)
every node reaches the common sink, and what the heads do together that none does alone.

Sources named in the docstrings:

- [BP] Sáez de Ocáriz Borde, *Beyond Parallelism: Synergistic Computational Graph Effects in
  Multi-Head Attention*, NeurReps 2025, arXiv 2507.02944.
- [FF] Vitvitskyi et al., *What Makes a Good Feedforward Computational Graph?*, ICML 2025,
  arXiv 2502.06751.
- [RV] Tjandra et al., *Feedforward Mixing is as Sharp as it is Slow in Reverse*, CTB@ICML 2026.

Importing this package is free; Numba and the kernels load with the first name that needs them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .analysis import Analysis, analyze, analyze_batch, overall
    from .bounds import Bound, bounds
    from .diversity import Diversity, diversity
    from .errors import EngineError, InvalidSystemError, OptionError, UnreachableError
    from .fidelity import Fidelity, fidelity, head_fidelities
    from .hitting import backward_hitting_times, head_hitting_times, hitting_times
    from .kernels.threads import set_threads
    from .mixing import MixingTime, arrival, head_mixing_times, mixing_time
    from .synergy import amplification, mixing_gain
    from .system import MultiHeadSystem
    from .walks import clarity, diffusion, spread, walk

_HOME = {
    "Analysis": "analysis",
    "analyze": "analysis",
    "analyze_batch": "analysis",
    "overall": "analysis",
    "Bound": "bounds",
    "bounds": "bounds",
    "Diversity": "diversity",
    "diversity": "diversity",
    "EngineError": "errors",
    "InvalidSystemError": "errors",
    "OptionError": "errors",
    "UnreachableError": "errors",
    "Fidelity": "fidelity",
    "fidelity": "fidelity",
    "head_fidelities": "fidelity",
    "backward_hitting_times": "hitting",
    "head_hitting_times": "hitting",
    "hitting_times": "hitting",
    "set_threads": "kernels.threads",
    "MixingTime": "mixing",
    "arrival": "mixing",
    "head_mixing_times": "mixing",
    "mixing_time": "mixing",
    "amplification": "synergy",
    "mixing_gain": "synergy",
    "MultiHeadSystem": "system",
    "clarity": "walks",
    "diffusion": "walks",
    "spread": "walks",
    "walk": "walks",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOME[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return __all__
