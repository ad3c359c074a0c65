"""Screens whose panels show what the engine computes: ask, wait, show the answer or the trouble."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from textual.message import Message

from synergy_tui.app.desk import Desk, reason
from synergy_tui.app.screens.arrange import Rectangle
from synergy_tui.app.screens.base import LiveScreen
from synergy_tui.app.session import Session
from synergy_tui.app.themes import identity
from synergy_tui.app.widgets.strips import Field
from synergy_tui.app.widgets.views import ShadedPanel
from synergy_tui.experiments.state import Probe, RunState

WARMING_UP = "warming up: the engine is being loaded, a second or two the first time"


class Answered(Message):
    """The engine has answered; a newer answer of the same kind replaces one that still waits."""

    def __init__(self, asked: object, result: object) -> None:
        super().__init__()
        self.asked = asked
        self.result = result

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Answered) and type(message.result) is type(self.result)


class Refused(Message):
    """The engine, or the disk, could not answer."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class AskingScreen(LiveScreen):
    """A screen about the heads of one run.

    A subclass calls :meth:`ask` whenever it draws, and gives :meth:`take`.
    """

    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    AskingScreen {
        #body { height: 1fr; width: 1fr; }
        #body ShadedPanel { position: absolute; }
    }
    """
    unprobed = ""
    """What to say before the first probe."""

    def __init__(self, session: Session, run: str | None) -> None:
        super().__init__(session)
        self.run_name = run
        self.trouble = ""
        self._asked: object = None
        self._answered: object = None
        self._desks: list[Desk[Answered]] = []
        self._desk = self.new_desk()

    def new_desk(self) -> Desk[Answered]:
        """A thread for requests; its answers go to :meth:`take`."""
        desk: Desk[Answered] = Desk(
            self.post_message, lambda error: self.post_message(Refused(reason(error)))
        )
        self._desks.append(desk)
        return desk

    def on_unmount(self) -> None:
        for desk in self._desks:
            desk.close()

    def ask(self, asked: object, work: Callable[[], object]) -> None:
        """Have ``work`` done in the desk's thread, unless the same was asked last."""
        if asked != self._asked:
            self._asked = asked
            self.trouble = ""
            self._desk.ask(lambda: Answered(asked, work()))

    def take(self, result: object) -> None:
        """Keep an answer, to be drawn next."""
        raise NotImplementedError

    def on_answered(self, message: Answered) -> None:
        if message.asked is not None:
            self._answered = message.asked
        self.take(message.result)
        self.update_now()

    def on_refused(self, message: Refused) -> None:
        self.trouble = message.text
        self.update_now()

    @property
    def answered(self) -> bool:
        """Whether the answer to what was asked last is there."""
        return self._asked is not None and self._answered == self._asked

    @property
    def shown_step(self) -> int | None:
        """The training step whose probe is shown; ``None`` for the newest."""
        raise NotImplementedError

    @property
    def run_state(self) -> RunState | None:
        return self.state.runs.get(self.run_name or "")

    @property
    def probe(self) -> Probe | None:
        run = self.run_state
        return None if run is None else run.probe_at(self.shown_step)

    def missing(self, ready: bool) -> str:
        """Why there is nothing to show, if there is not; ``ready`` once there is an answer."""
        probe = self.probe
        if self.trouble:
            return self.trouble
        if probe is None:
            return self.unprobed
        if probe.attention is None:
            run = self.run_state
            if run is not None and run.kind == "designed":
                return "no attention was kept: the graph is too large to draw its matrices"
            return "no attention was kept: see keep and kept_inputs in [analysis]"
        return "" if ready else WARMING_UP

    def run_fields(self, title: str, weight: int) -> list[Field]:
        """The header's beginning: the screen's title and the run."""
        fields = [Field(title, "title", weight=40)]
        run = self.run_state
        if run is not None:
            place = identity(run.index)
            mark = place.mark(self.session.ascii_only)
            fields.append(Field(f"{mark} {run.name}", place.variable, weight))
        return fields

    def progress_fields(self) -> list[Field]:
        """Trouble, or that an answer is awaited, for the header."""
        if self.trouble:
            return [Field(self.trouble, "error")]
        return [] if self.answered else [Field("measuring", "warning", 45)]

    def place_panels(self, places: Mapping[int, Rectangle]) -> None:
        """Show the panels that have a place, there, and hide the others."""
        for panel in self.query(ShadedPanel):
            panel.display = panel.number in places
            if panel.display:
                x, y, wide, high = places[panel.number]
                panel.styles.offset = (x, y)
                panel.styles.width, panel.styles.height = wide, high

    def next_run(self, by: int) -> bool:
        """Go to the next run that has a probe, or the one before; false when there is no other."""
        names = [name for name, run in self.state.runs.items() if run.probes]
        if self.run_name not in names or len(names) < 2:
            return False
        self.run_name = names[(names.index(self.run_name) + by) % len(names)]
        return True
