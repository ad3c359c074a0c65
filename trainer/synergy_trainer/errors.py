"""What the trainer says when it cannot do what was asked."""

from __future__ import annotations

from collections.abc import Sequence


class TrainerError(ValueError):
    """Settings, a task or a file that cannot be used, with every problem found.

    Attributes:
        problems: one sentence for each problem: what, where, and what would do.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("; ".join(self.problems))
