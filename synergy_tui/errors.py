"""Exit codes of the commands, and mistakes that a user can fix."""

from __future__ import annotations

import enum
import importlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any


class ExitCode(enum.IntEnum):
    """Exit codes of every command (``synergy --help`` prints them)."""

    OK = 0
    EXPECTATION_FAILED = 1
    BAD_INPUT = 2
    RUN_FAILED = 3
    INTERRUPTED = 130
    TERMINATED = 143

    @property
    def meaning(self) -> str:
        """One line for a person."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.OK: "done, and every expectation holds",
    ExitCode.EXPECTATION_FAILED: "done, but an expectation failed",
    ExitCode.BAD_INPUT: "bad usage, scenario or input",
    ExitCode.RUN_FAILED: "the run failed (out of memory, non-finite loss, time limit, …)",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C",
    ExitCode.TERMINATED: "terminated, after a checkpoint",
}


class UserError(Exception):
    """A mistake that the user can fix: printed without a traceback.

    The message says what is wrong and where; the hint, printed on a line of its own, what to do.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, exit_code: ExitCode = ExitCode.BAD_INPUT
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


# What each extra of pyproject.toml is for.
EXTRAS = {
    "figures": "publication figures (matplotlib)",
    "parquet": "Parquet tables (pyarrow)",
    "tensorboard": "TensorBoard event files (tensorboard)",
    "wandb": "Weights & Biases (wandb)",
    "hf": "Hugging Face models (transformers)",
    "report": "reports (matplotlib, jinja2)",
    "gpu": "load and memory of NVIDIA's GPUs (nvidia-ml-py)",
    "ray": "sweeps on a Ray cluster (ray)",
}


def require(module: str, extra: str) -> Any:
    """Import ``module``, or say which extra of pyproject.toml (a key of `EXTRAS`) installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = module.split(".", maxsplit=1)[0]
        raise UserError(
            f"This needs {missing}, which is not installed ({EXTRAS[extra]}).",
            hint=f'Install it with: python -m pip install "synergy-heads[{extra}]"',
        ) from error


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name most like ``word``, or ``None`` when none is near."""
    import difflib

    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)), None)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``"; did you mean 'x'?"``, or nothing when no known name is near."""
    near = nearest(str(word), known)
    return f"; did you mean '{near}'?" if near else ""


# What the libraries call by their parameters → what a person at the command line can do.
_ADVICE = {
    'Renormalise on request: rows="normalise" (or rows="any" when they are not attention).': (
        "Divide each row by its sum, as `synergy analyze --renormalise` does."
    ),
    'undirected="order" sends it': "--undirected order sends it",
    'rows="sinks"': "--learned-sinks",
    "State the axes:": "State them with --axes:",
    "State its axes:": "State them with --axes:",
    "say which tensor holds the attention (a": "say which holds the attention with --tensor (a",
    'state others with axes="…"': "--axes states others",
    "give lengths or a mask to say otherwise": "--lengths, --mask or --range say otherwise",
    " (system.subset)": "",
}


def for_commands(text: str) -> str:
    """Return a message of engine or trainer with advice for the command line."""
    for parameter, advice in _ADVICE.items():
        text = text.replace(parameter, advice)
    return text


@contextmanager
def as_user_errors(where: str = "") -> Iterator[None]:
    """Raise the errors of engine and trainer, and of memory, as :class:`UserError`.

    ``where`` is the file or run that the work is about, put before the message. The exit code is 2
    for input that cannot be used, and 3 when the memory ran out.
    """
    from synergy_engine.errors import EngineError
    from synergy_trainer.errors import TrainerError

    prefix = f"{where}: " if where else ""
    try:
        yield
    except (EngineError, TrainerError) as error:
        text = for_commands(str(error))
        # A message that names the file itself needs no prefix.
        raise UserError(text if where and where in text else prefix + text) from error
    except MemoryError as error:
        raise UserError(
            f"{prefix}there is not enough memory.",
            hint="Measure fewer inputs, heads or tokens at once.",
            exit_code=ExitCode.RUN_FAILED,
        ) from error
