"""Marks on what is to be compared side by side, the same on every screen that can set them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from synergy_tui.app import keys
from synergy_tui.app.session import Mark, OpenSideBySide
from synergy_tui.experiments.beside import NAMES


class Marking:
    """The keys for marks, mixed into a screen that gives :meth:`markable` and `show_marks`."""

    app: Any
    notify: Any
    post_message: Any

    @property
    def marks(self) -> list[Mark]:
        """What is marked, here or on another screen; two at most."""
        marks: list[Mark] = getattr(self.app, "marks", [])
        return marks

    def letters(self, path: Path) -> str:
        """A or B where this experiment is marked."""
        return "".join(NAMES[at] for at, mark in enumerate(self.marks) if mark.path == path)

    def markable(self) -> Mark | None:
        """What is under the cursor; where that cannot be compared, says why and gives nothing."""
        raise NotImplementedError

    def show_marks(self) -> None:
        """Draw the marks again."""

    def action_mark(self) -> None:
        """Mark what is under the cursor, or take its mark off."""
        mark = self.markable()
        if mark is None:
            return
        self.app.toggle_mark(mark)
        self.show_marks()
        if mark not in self.marks:
            return
        then = "mark another" if len(self.marks) < 2 else self._keyed("{compare.open} compares")
        self.notify(f"{NAMES[self.marks.index(mark)]} is {mark.name}; {then}.", timeout=5)

    def action_compare(self) -> None:
        """Compare what is marked; with one mark, with what is under the cursor."""
        marks = list(self.marks)
        if len(marks) < 2 and (mark := self.markable()) is not None and mark not in marks:
            marks.append(mark)
        if len(marks) == 2:
            self.app.clear_notifications()  # of the marks; they would cover what is opened
            self.post_message(OpenSideBySide(*marks))
        elif marks:
            self.notify(self._keyed("Mark one with {compare.mark}, then another."), timeout=5)

    def _keyed(self, text: str) -> str:
        return keys.filled(text, getattr(self.app, "keymap", {}))
