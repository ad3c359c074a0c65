"""Somebody else's training, watched: callbacks that write the same log from inside their process."""

from synergy_tui.watch.session import Watch, watch

__all__ = ["Watch", "watch"]
