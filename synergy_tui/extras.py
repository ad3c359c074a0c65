"""Optional libraries: imported when asked for, with the command that installs them when absent."""

from __future__ import annotations

import importlib
from typing import Any

from synergy_tui.errors import UserError

# What each extra of pyproject.toml is for.
EXTRAS = {
    "figures": "publication figures (matplotlib)",
    "parquet": "Parquet tables (pyarrow)",
    "tensorboard": "TensorBoard event files (tensorboard)",
    "hf": "Hugging Face models (transformers)",
    "report": "reports (matplotlib, jinja2)",
    "ray": "sweeps on a Ray cluster (ray)",
}


def require(module: str, extra: str) -> Any:
    """Import ``module``, or say which extra holds it.

    Parameters
    ----------
    module
        Dotted name of the module, as in ``matplotlib.figure``.
    extra
        Name of the extra of pyproject.toml that installs it, a key of :data:`EXTRAS`.

    Raises
    ------
    UserError
        The module is not installed or cannot be loaded; the hint is the command that mends it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = module.split(".", maxsplit=1)[0]
        raise UserError(
            f"This needs {missing}, which is not installed ({EXTRAS[extra]}).",
            hint=f'Install it with: python -m pip install "synergy-heads[{extra}]"',
        ) from error
