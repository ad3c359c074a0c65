"""Propagation of information over multi-head DAG systems: exact, certified, fast.

Measures how soon (walks, hitting and mixing times) and how clearly (diffusion, minimax fidelity)
every node reaches the common sink, and what the heads do together that none does alone.

Sources named in the docstrings:

- [BP] Sáez de Ocáriz Borde, *Beyond Parallelism: Synergistic Computational Graph Effects in
  Multi-Head Attention*, NeurReps 2025, arXiv 2507.02944.
- [FF] Vitvitskyi et al., *What Makes a Good Feedforward Computational Graph?*, ICML 2025,
  arXiv 2502.06751.
- [RV] Tjandra et al., *Feedforward Mixing is as Sharp as it is Slow in Reverse*, CTB@ICML 2026.

Docstrings call this package `engine`, as after ``import synergy_engine as engine``. No module at
its top is called as a function is: `engine.fidelity` must stay the function when its module
(`synergy_engine.measures.fidelity`) has been imported.

Importing this package is free; Numba and the kernels load with the first name that needs them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
