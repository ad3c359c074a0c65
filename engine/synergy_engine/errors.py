"""The errors for inputs that cannot be used, and small checks that raise them."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral


class EngineError(ValueError):
    """Input that the engine refuses, with everything that is wrong with it.

    Parameters
    ----------
    problems
        One sentence each: what is wrong, where, and what to do about it.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: list[str] = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class InvalidSystemError(EngineError):
    """The heads or their weights do not form a multi-head DAG system."""


class UnreachableError(EngineError):
    """Some node has no way to the sink."""


class OptionError(EngineError):
    """An option has a value that is not among the allowed ones."""


class GraphFileError(EngineError):
    """A graph file cannot be read, or is not a graph the engine can use."""


class AttentionFileError(EngineError):
    """A file of attention cannot be read, or does not contain causal attention."""


class NotDifferentiableError(EngineError):
    """A measure has no derivative here; the message says why."""


class TooLargeError(EngineError):
    """What is asked for would not fit in memory; the message says how large it would be."""


class Cancelled(EngineError):
    """A progress callback asked for a long computation to stop."""


def choose(name: str, value: str, allowed: Sequence[str]) -> str:
    """Return ``value`` when it is one of ``allowed``; raise `OptionError` otherwise."""
    if value in allowed:
        return value
    raise OptionError(f"{name} is {value!r}; allowed: {', '.join(map(repr, allowed))}.")


def at_least(name: str, value: int, least: int) -> int:
    """Return ``value`` when it is ``least`` or more; raise `EngineError` otherwise."""
    if value < least:
        raise EngineError(f"{name} is {value}; it must be {least} or more.")
    return value


def whole_number(name: str, value: object, least: int) -> int:
    """Return ``value`` as an int, NumPy's included, when it is one from ``least`` on."""
    if isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least:
        return int(value)
    raise OptionError(f"{name} must be a whole number of at least {least}, not {value!r}.")
