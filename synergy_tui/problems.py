"""Turns what the libraries refuse into what a user reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from synergy_tui.errors import ExitCode, UserError


@contextmanager
def as_user_errors(where: str = "") -> Iterator[None]:
    """Raise the errors of engine and trainer, and of memory, as :class:`UserError`.

    Parameters
    ----------
    where
        The file or run that the work is about; put before the message.

    Raises
    ------
    UserError
        Exit code 2 for input that cannot be used, 3 when the memory ran out.
    """
    from engine.errors import EngineError
    from trainer.errors import TrainerError

    prefix = f"{where}: " if where else ""
    try:
        yield
    except (EngineError, TrainerError) as error:
        text = str(error)
        # A message that names the file itself needs no prefix.
        raise UserError(text if where and where in text else prefix + text) from error
    except MemoryError as error:
        raise UserError(
            f"{prefix}there is not enough memory.",
            hint="Measure fewer inputs, heads or tokens at once.",
            exit_code=ExitCode.RUN_FAILED,
        ) from error
