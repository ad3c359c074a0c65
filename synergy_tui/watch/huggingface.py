"""A callback for the Trainer of Hugging Face; `transformers` must be installed."""

from __future__ import annotations

from typing import Any

from synergy_tui.errors import require
from synergy_tui.watch.session import Watch, watch

_TrainerCallback: Any = require("transformers", "hf").TrainerCallback


class WatchCallback(_TrainerCallback):
    """``Trainer(…, callbacks=[WatchCallback(probe_batch, every=100)])``; options as of `watch`."""

    def __init__(self, probe_batch: Any, **options: Any) -> None:
        self._batch = probe_batch
        self._options = options
        self.watch: Watch | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        known = {"steps": state.max_steps, "start": state.global_step}
        options = {"log_every": 1, **known, **self._options}
        self.watch = watch(kwargs["model"], self._batch, **options).__enter__()

    def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Write the loss that the Trainer logs: the mean since it logged last."""
        loss = (kwargs.get("logs") or {}).get("loss")
        if self.watch is not None and loss is not None:
            self.watch.step(state.global_step, loss)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.watch is not None:
            self.watch.step(state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.watch is not None:
            self.watch.__exit__(None, None, None)
