"""What the commands answer to the shell, and the mistakes a user can mend."""

from __future__ import annotations

import enum


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
    """A mistake the user can mend: printed without a traceback.

    Parameters
    ----------
    message
        What is wrong and where.
    hint
        What to do about it, printed on a line of its own.
    exit_code
        What the process answers; bad input unless said otherwise.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, exit_code: ExitCode = ExitCode.BAD_INPUT
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code
