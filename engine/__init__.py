"""Propagation of information over multi-head DAG systems: exact, certified, fast.

Measures how soon (walks, hitting and mixing times) and how clearly (diffusion, minimax fidelity)
every node reaches the common sink, and what the heads do together that none does alone.

Sources named in the docstrings:

- [BP] Sáez de Ocáriz Borde, *Beyond Parallelism: Synergistic Computational Graph Effects in
  Multi-Head Attention*, NeurReps 2025, arXiv 2507.02944.
- [FF] Vitvitskyi et al., *What Makes a Good Feedforward Computational Graph?*, ICML 2025,
  arXiv 2502.06751.
- [RV] Tjandra et al., *Feedforward Mixing is as Sharp as it is Slow in Reverse*, CTB@ICML 2026.

No module is called as a function is: `engine.fidelity` must stay the function when its module
(`engine.minimax`) has been imported.

Importing this package is free; Numba and the kernels load with the first name that needs them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .analysis import (
        Analysis as Analysis,
    )
    from .analysis import (
        analyze as analyze,
    )
    from .analysis import (
        analyze_batch as analyze_batch,
    )
    from .analysis import (
        overall as overall,
    )
    from .disagreement import Diversity as Diversity
    from .disagreement import diversity as diversity
    from .errors import (
        EngineError as EngineError,
    )
    from .errors import (
        InvalidSystemError as InvalidSystemError,
    )
    from .errors import (
        OptionError as OptionError,
    )
    from .errors import (
        UnreachableError as UnreachableError,
    )
    from .hitting import (
        backward_hitting_times as backward_hitting_times,
    )
    from .hitting import (
        head_hitting_times as head_hitting_times,
    )
    from .hitting import (
        hitting_times as hitting_times,
    )
    from .kernels.threads import set_threads as set_threads
    from .minimax import (
        Fidelity as Fidelity,
    )
    from .minimax import (
        fidelity as fidelity,
    )
    from .minimax import (
        head_fidelities as head_fidelities,
    )
    from .mixing import (
        MixingTime as MixingTime,
    )
    from .mixing import (
        arrival as arrival,
    )
    from .mixing import (
        head_mixing_times as head_mixing_times,
    )
    from .mixing import (
        mixing_time as mixing_time,
    )
    from .montecarlo import MonteCarlo as MonteCarlo
    from .montecarlo import monte_carlo as monte_carlo
    from .optimise import OptimalWeights as OptimalWeights
    from .optimise import optimal_weights as optimal_weights
    from .paths import (
        Path as Path,
    )
    from .paths import (
        PathShare as PathShare,
    )
    from .paths import (
        cross_head_share as cross_head_share,
    )
    from .paths import (
        novel_path_share as novel_path_share,
    )
    from .paths import (
        strongest_paths as strongest_paths,
    )
    from .predictions import Bound as Bound
    from .predictions import bounds as bounds
    from .synergy import amplification as amplification
    from .synergy import mixing_gain as mixing_gain
    from .system import MultiHeadSystem as MultiHeadSystem
    from .walks import clarity as clarity
    from .walks import diffusion as diffusion
    from .walks import spread as spread
    from .walks import walk as walk

_HOME = {
    "Analysis": "analysis",
    "analyze": "analysis",
    "analyze_batch": "analysis",
    "overall": "analysis",
    "Bound": "predictions",
    "bounds": "predictions",
    "Diversity": "disagreement",
    "diversity": "disagreement",
    "EngineError": "errors",
    "InvalidSystemError": "errors",
    "OptionError": "errors",
    "UnreachableError": "errors",
    "Fidelity": "minimax",
    "fidelity": "minimax",
    "head_fidelities": "minimax",
    "backward_hitting_times": "hitting",
    "head_hitting_times": "hitting",
    "hitting_times": "hitting",
    "set_threads": "kernels.threads",
    "MixingTime": "mixing",
    "arrival": "mixing",
    "head_mixing_times": "mixing",
    "mixing_time": "mixing",
    "MonteCarlo": "montecarlo",
    "monte_carlo": "montecarlo",
    "OptimalWeights": "optimise",
    "optimal_weights": "optimise",
    "Path": "paths",
    "PathShare": "paths",
    "cross_head_share": "paths",
    "novel_path_share": "paths",
    "strongest_paths": "paths",
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
