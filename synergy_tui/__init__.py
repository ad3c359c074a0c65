"""Synergy's application: scenarios, experiments, the command line and the Textual app."""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """`load` for notebooks; imported when it is asked for, since commands stay light."""
    if name == "load":
        from synergy_tui.export.notebook import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
