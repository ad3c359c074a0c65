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
        analyze as analyze,
        analyze_batch as analyze_batch,
        overall as overall,
    )
    from .catalogue import FAMILIES as FAMILIES
    from .convention import CONVENTIONS as CONVENTIONS, Convention as Convention
    from .convert import (
        from_networkx as from_networkx,
        from_scipy as from_scipy,
        to_networkx as to_networkx,
        to_scipy as to_scipy,
    )
    from .disagreement import Diversity as Diversity, diversity as diversity
    from .errors import (
        AttentionFileError as AttentionFileError,
        Cancelled as Cancelled,
        EngineError as EngineError,
        GraphFileError as GraphFileError,
        InvalidSystemError as InvalidSystemError,
        OptionError as OptionError,
        TooLargeError as TooLargeError,
        UnreachableError as UnreachableError,
    )
    from .graphio import (
        AttentionFile as AttentionFile,
        read_attention as read_attention,
        read_graph as read_graph,
        write_graph as write_graph,
    )
    from .headlines import Headline as Headline, headline as headline
    from .hitting import (
        backward_hitting_times as backward_hitting_times,
        head_hitting_times as head_hitting_times,
        hitting_times as hitting_times,
    )
    from .kernels.threads import set_threads as set_threads
    from .minimax import (
        Fidelity as Fidelity,
        fidelity as fidelity,
        head_fidelities as head_fidelities,
    )
    from .mixing import (
        ArrivalTimes as ArrivalTimes,
        MixingTime as MixingTime,
        arrival as arrival,
        arrival_times as arrival_times,
        head_mixing_times as head_mixing_times,
        mixing_time as mixing_time,
    )
    from .montecarlo import MonteCarlo as MonteCarlo, monte_carlo as monte_carlo
    from .optimise import OptimalWeights as OptimalWeights, optimal_weights as optimal_weights
    from .paths import (
        Path as Path,
        PathShare as PathShare,
        cross_head_share as cross_head_share,
        novel_path_share as novel_path_share,
        strongest_paths as strongest_paths,
    )
    from .predictions import Bound as Bound, bounds as bounds
    from .progress import watch as watch
    from .reordering import Reordering as Reordering, reorder as reorder
    from .soundness import Structure as Structure, structure as structure
    from .sparse import SparseHead as SparseHead
    from .synergy import amplification as amplification, mixing_gain as mixing_gain
    from .system import MultiHeadSystem as MultiHeadSystem
    from .topologies import topology as topology
    from .walks import clarity as clarity, diffusion as diffusion, spread as spread, walk as walk
    from .warmup import warm_up as warm_up

_HOME = {
    "AttentionFile": "graphio",
    "read_attention": "graphio",
    "read_graph": "graphio",
    "write_graph": "graphio",
    "from_networkx": "convert",
    "to_networkx": "convert",
    "from_scipy": "convert",
    "to_scipy": "convert",
    "Structure": "soundness",
    "structure": "soundness",
    "Reordering": "reordering",
    "reorder": "reordering",
    "watch": "progress",
    "FAMILIES": "catalogue",
    "CONVENTIONS": "convention",
    "Convention": "convention",
    "AttentionFileError": "errors",
    "GraphFileError": "errors",
    "TooLargeError": "errors",
    "Cancelled": "errors",
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
    "Headline": "headlines",
    "headline": "headlines",
    "backward_hitting_times": "hitting",
    "head_hitting_times": "hitting",
    "hitting_times": "hitting",
    "set_threads": "kernels.threads",
    "ArrivalTimes": "mixing",
    "MixingTime": "mixing",
    "arrival": "mixing",
    "arrival_times": "mixing",
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
    "SparseHead": "sparse",
    "amplification": "synergy",
    "mixing_gain": "synergy",
    "MultiHeadSystem": "system",
    "topology": "topologies",
    "clarity": "walks",
    "diffusion": "walks",
    "spread": "walks",
    "walk": "walks",
    "warm_up": "warmup",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOME[name]}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return __all__
