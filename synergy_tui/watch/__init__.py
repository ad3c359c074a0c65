"""Callbacks that write the same log from inside somebody else's training."""

from synergy_tui.watch.session import Watch, watch

__all__ = ["Watch", "watch"]
