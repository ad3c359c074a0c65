"""The head inspector: what each head of a run attends to, alone and mixed, at the step cursor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Container
from textual.message import Message
from textual.widgets import Static

from synergy_tui.app import keys
from synergy_tui.app.desk import Desk, reason
from synergy_tui.app.inspector.headviews import ORDERS
from synergy_tui.app.inspector.measures import Answer, Bench, Question
from synergy_tui.app.inspector.view import InspectorView
from synergy_tui.app.screens.arrange import (
    ARRIVAL,
    COMPACT,
    HEADS,
    MAP,
    MAPS,
    PANELS,
    PATHS,
    SMALLEST,
    WHAT_IF,
    arrange_inspector,
)
from synergy_tui.app.screens.base import TimedScreen
from synergy_tui.app.themes import identity
from synergy_tui.app.timeline import Timeline
from synergy_tui.app.widgets.frame import FieldStrip, Header, KeyBar, TimelineBar
from synergy_tui.app.widgets.shading import SCALES
from synergy_tui.app.widgets.strips import Field
from synergy_tui.app.widgets.views import ShadedPanel, say
from synergy_tui.experiments.attention import Snapshot, load_snapshot
from synergy_tui.experiments.state import ExperimentState, ProbeRecord, RunState

if TYPE_CHECKING:
    from synergy_tui.experiments.experiment import Experiment

WARMING_UP = "warming up: the engine is being loaded, a second or two the first time"
MOST_PATHS = 20


Asked = tuple[str, Question]
"""An attention file, and what is asked of it."""


class Answered(Message):
    """The engine has answered; a newer answer replaces one that still waits."""

    def __init__(self, asked: Asked, snapshot: Snapshot, answer: Answer) -> None:
        super().__init__()
        self.asked = asked
        self.snapshot = snapshot
        self.answer = answer

    def can_replace(self, message: Message) -> bool:
        """Take the place of an older answer."""
        return isinstance(message, Answered)


class Refused(Message):
    """The engine, or the disk, could not answer."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class InspectorScreen(TimedScreen):
    """The heads of one run at the step cursor.

    Parameters
    ----------
    experiment
        Whose attention files are read.
    state, timeline
        Shared with the other screens.
    run
        Name of the run.
    """

    BINDINGS = keys.bindings_for("inspector")
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    InspectorScreen {
        #body { height: 1fr; width: 1fr; }
        #body ShadedPanel { position: absolute; }
        #tabs { display: none; }
    }
    """

    def __init__(
        self, experiment: Experiment, state: ExperimentState, timeline: Timeline, run: str
    ) -> None:
        super().__init__(state, timeline)
        self.experiment = experiment
        self.run_name = run
        self.question = Question()
        self.selected: int | None = None
        self.map_row = -1
        self.order_by = "index"
        self.scale = SCALES[0]
        self.zoomed = False
        self.maximised = False
        self.recent = [MAPS, PATHS, ARRIVAL, WHAT_IF, HEADS, MAP]
        self.snapshot: Snapshot | None = None
        self.answer: Answer | None = None
        self.trouble = ""
        self._asked: Asked | None = None
        self._answered: Asked | None = None
        self._bench: Bench | None = None
        self._view: InspectorView | None = None
        self._desk: Desk[tuple[Asked, Snapshot, Answer]] = Desk(
            lambda result: self.post_message(Answered(*result)),
            lambda error: self.post_message(Refused(reason(error))),
        )

    def compose(self) -> ComposeResult:
        """The frame and all panels; which are shown where depends on the size."""
        yield Header(id="header")
        yield FieldStrip(id="tabs")
        with Container(id="body"):
            for number, name in enumerate(PANELS):
                yield ShadedPanel(number, id=name.replace(" ", "-"))
        yield TimelineBar(id="timeline")
        yield KeyBar("inspector", id="keys")
        yield Static(id="too-small")

    def on_unmount(self) -> None:
        """Take no more answers."""
        self._desk.close()

    # Asking

    @property
    def run_state(self) -> RunState | None:
        """The run that is inspected."""
        return self.state.runs.get(self.run_name)

    @property
    def probe(self) -> ProbeRecord | None:
        """The probe at the cursor."""
        run = self.run_state
        return None if run is None else run.probe_at(self.timeline.step)

    @property
    def settled(self) -> bool:
        """Whether what was asked for last has been answered, or refused."""
        return self._asked is not None and (self._answered == self._asked or bool(self.trouble))

    def _ask(self) -> None:
        """Ask for what is to be shown, unless that was asked already."""
        probe = self.probe
        if probe is None or probe.attention is None:
            return
        asked = (probe.attention, self.question)
        if asked == self._asked:
            return
        self._asked = asked
        self.trouble = ""
        self._desk.ask(self._request(asked))

    def _request(self, asked: Asked) -> Callable[[], tuple[Asked, Snapshot, Answer]]:
        path, question = asked

        def work() -> tuple[Asked, Snapshot, Answer]:
            # Only the desk's one thread comes here, so the bench needs no lock.
            if self._bench is None or self._bench.snapshot.key != path:
                self._bench = Bench(load_snapshot(self.experiment, path))
            snapshot = self._bench.snapshot
            fitted = replace(
                question,
                layer=min(question.layer, snapshot.layers - 1),
                input=min(question.input, snapshot.inputs - 1),
                source=min(question.source, snapshot.nodes - 2),
                off=frozenset(head for head in question.off if head < snapshot.heads),
            )
            return asked, snapshot, self._bench.answer(fitted)

        return work

    def on_answered(self, message: Answered) -> None:
        """Show the answer."""
        self.snapshot, self.answer = message.snapshot, message.answer
        self._answered = message.asked
        if self.selected is not None and self.selected >= self.snapshot.heads:
            self.selected = None
        self.update_now()

    def on_refused(self, message: Refused) -> None:
        """Say why there is no answer."""
        self.trouble = message.reason
        self.update_now()

    # Showing

    def refresh_view(self) -> None:
        """Bring everything that is visible up to the state, the cursor and the last answer."""
        if not self.fits(SMALLEST, "The inspector", "esc goes back."):
            return
        self._ask()
        self._arrange()
        self.query_one(Header).show(self._header())
        self.query_one(TimelineBar).show(self.track())
        self._show_panels()

    def _arrange(self) -> None:
        """Put the panels where they belong at this size."""
        width, height = self.size
        narrow = width < COMPACT[0] or height - 3 < COMPACT[1]
        tabs = self.query_one("#tabs", FieldStrip)
        tabs.display = narrow or self.maximised
        if tabs.display:
            tabs.show(
                [
                    Field(
                        name,
                        "pill-quiet" if number == self.recent[0] else "muted",
                        action=f"show_panel({number})",
                        weight=int(number != self.recent[0]),
                    )
                    for number, name in enumerate(PANELS)
                ]
            )
        body = height - 3 - tabs.display
        snapshot = self.snapshot
        places = arrange_inspector(
            width,
            body,
            snapshot.heads if snapshot else 8,
            snapshot.nodes if snapshot else 33,
            self.recent,
            self.maximised,
        )
        for panel in self.query(ShadedPanel):
            panel.display = panel.number in places
            panel.set_class(panel.number == self.recent[0], "-selected")
            if panel.display:
                x, y, wide, high = places[panel.number]
                panel.styles.offset = (x, y)
                panel.styles.width, panel.styles.height = wide, high

    def _header(self) -> list[Field]:
        run, probe, snapshot = self.run_state, self.probe, self.snapshot
        told = self.synergy.status
        fields = [Field("heads", "title", weight=40)]
        if run is not None:
            place = identity(run.index)
            mark = place.mark(self.synergy.ascii_only)
            fields.append(Field(f"{mark} {run.name}", place.variable, weight=60))
        if snapshot is not None:
            layer, which = self._shown_place(snapshot)
            if snapshot.layers > 1:
                fields.append(Field(f"layer {layer + 1}/{snapshot.layers}", "text", 50))
            if snapshot.inputs > 1:
                fields.append(Field(f"input {which + 1}/{snapshot.inputs}", "text", 48))
            fields.append(Field(f"token {snapshot.name(self._source(snapshot))}", "text", 46))
        fields.append(Field(f"sorted by {self.order_by}", "muted", 20))
        if self.trouble:
            fields.append(Field(self.trouble, "error"))
        elif not self.settled:
            fields.append(Field("measuring", "warning", 45))
        fields.append(Field(f" {told.word} ", told.style, right=True))
        if probe is not None and run is not None and run.kind == "trained":
            fields.append(Field(f"probe at step {probe.step}", "headline", 55, right=True))
        return fields

    def _shown_place(self, snapshot: Snapshot) -> tuple[int, int]:
        layer = min(self.question.layer, snapshot.layers - 1)
        return layer, min(self.question.input, snapshot.inputs - 1)

    def _source(self, snapshot: Snapshot) -> int:
        return min(self.question.source, snapshot.nodes - 2)

    def _missing(self) -> str:
        """Why there is nothing to show, if there is not."""
        probe = self.probe
        if self.trouble:
            return self.trouble
        if probe is None:
            return "nothing was probed up to this step: ] goes to the next probe"
        if probe.attention is None:
            return "no attention was kept here: the graph is too large to draw its matrices"
        if self.answer is None:
            return WARMING_UP
        return ""

    def _show_panels(self) -> None:
        missing = self._missing()
        view = self.view()
        for panel in self.query(ShadedPanel):
            if not panel.display:
                continue
            if missing or view is None:
                panel.show(say(missing), PANELS[panel.number])
            else:
                panel.show(*view.panel(panel.number))

    def view(self) -> InspectorView | None:
        """What the panels show at the moment; ``None`` before the first answer."""
        if self.answer is None or self.snapshot is None:
            return None
        self._view = InspectorView(
            snapshot=self.snapshot,
            answer=self.answer,
            selected=self.selected,
            off=self.question.off,
            source=self._source(self.snapshot),
            query=self.map_row,
            order_by=self.order_by,
            scale=self.scale,
            zoomed=self.zoomed,
            ascii_only=self.synergy.ascii_only,
        )
        return self._view

    # What keys do

    def action_head(self, by: int) -> None:
        """Select another head; the mixture comes first."""
        view = self.view()
        if view is None:
            return
        heads = view.heads()
        self.selected = heads[(heads.index(self.selected) + by) % len(heads)]
        self.update_now()

    def action_token(self, by: int) -> None:
        """Choose another token."""
        if self.snapshot is not None:
            last = self.snapshot.nodes - 1
            source = (self._source(self.snapshot) + by) % max(last, 1)
            self.question = replace(self.question, source=source)
            self.update_now()

    def action_query(self, by: int) -> None:
        """Move the map's cursor to another query."""
        if self.snapshot is not None:
            last = self.snapshot.nodes - 1
            source = self._source(self.snapshot)
            here = last if self.map_row < source else self.map_row
            self.map_row = min(max(here + by, source), last)
            self.update_now()

    def action_bottleneck(self) -> None:
        """Choose the token that the sink hears least."""
        if self.answer is not None:
            self.question = replace(self.question, source=self.answer.now.weakest)
            self.update_now()

    def action_switch(self) -> None:
        """Switch the selected head off or on."""
        if self.snapshot is None:
            return
        if self.selected is None:
            self.notify("Select a head first: the mixture cannot be switched off.")
            return
        off = self.question.off ^ {self.selected}
        if len(off) == self.snapshot.heads:
            self.notify("The last head stays on: without it nothing is left to mix.")
            return
        self.question = replace(self.question, off=off)
        if WHAT_IF not in self._visible():
            self._select(WHAT_IF)
        self.update_now()

    def action_all_on(self) -> None:
        """Switch all heads on."""
        self.question = replace(self.question, off=frozenset())
        self.update_now()

    def action_sort(self) -> None:
        """Sort by the next figure."""
        self.order_by = ORDERS[(ORDERS.index(self.order_by) + 1) % len(ORDERS)]
        self.update_now()

    def action_layer(self) -> None:
        """Show the next layer; heads that are off belong to one layer, so all go on."""
        if self.snapshot is not None and self.snapshot.layers > 1:
            layer = (self._shown_place(self.snapshot)[0] + 1) % self.snapshot.layers
            self.question = replace(self.question, layer=layer, off=frozenset())
            self.update_now()

    def action_input(self, by: int) -> None:
        """Show another input."""
        if self.snapshot is not None:
            which = (self._shown_place(self.snapshot)[1] + by) % self.snapshot.inputs
            self.question = replace(self.question, input=which)
            self.update_now()

    def action_run(self) -> None:
        """Show the next run that has a probe."""
        names = [name for name, run in self.state.runs.items() if run.probes]
        if self.run_name in names and len(names) > 1:
            self.run_name = names[(names.index(self.run_name) + 1) % len(names)]
            self.question = replace(self.question, off=frozenset())
            self.answer = self.snapshot = self.selected = None
            self.update_now()

    def action_scale(self) -> None:
        """Shade on the next scale."""
        self.scale = SCALES[(SCALES.index(self.scale) + 1) % len(SCALES)]
        self.update_now()

    def action_cells(self) -> None:
        """Show every entry around the cursor, or the whole map."""
        self.zoomed = not self.zoomed
        self._select(MAP)
        self.update_now()

    def action_paths(self, by: int) -> None:
        """Show more or fewer paths."""
        count = min(max(self.question.paths + by, 1), MOST_PATHS)
        self.question = replace(self.question, paths=count)
        self.update_now()

    def action_panel(self, by: int) -> None:
        """Select another panel."""
        self._select((self.recent[0] + by) % len(PANELS))
        self._relayout()

    def action_show_panel(self, number: int) -> None:
        """Select a panel by its number."""
        self._select(number)
        self._relayout()

    def action_maximise(self) -> None:
        """Give the selected panel the whole screen, or back."""
        self.maximised = not self.maximised
        self._relayout()

    def action_stepper(self) -> None:
        """Open the diffusion stepper on these heads."""
        from synergy_tui.app.stepper.screen import StepperScreen

        probe = self.probe
        if probe is not None and probe.attention is not None:
            self.app.push_screen(
                StepperScreen(
                    self.experiment,
                    self.state,
                    self.run_name,
                    step=probe.step,
                    layer=self.question.layer,
                    input=self.question.input,
                    source=self.question.source,
                )
            )

    def action_export(self) -> None:
        """Write the picture as SVG and the heads' figures as CSV."""
        self.synergy.export_screen(f"inspector-{self.run_name}", self.as_csv())

    def as_csv(self) -> str:
        """The figures of every head and of the mixtures, a line each."""
        view, probe = self.view(), self.probe
        return "" if view is None or probe is None else view.as_csv(self.run_name, probe.step)

    def on_shaded_panel_pointed(self, message: ShadedPanel.Pointed) -> None:
        """Select what was clicked: a panel, a head, an entry of the map."""
        panel, x, y = message.panel, message.x, message.y
        if message.times == 2:
            self.action_maximise()
            return
        self._select(panel.number)
        view = self._view
        if view is not None and panel.number in (MAPS, HEADS):
            self.selected = view.head_at(panel.number, x, y)
        elif view is not None and panel.number == MAP:
            entry = view.entry_at(x, y)
            if entry is not None:
                self.map_row = entry[0]
                self.question = replace(self.question, source=entry[1])
        self._relayout()

    def _select(self, number: int) -> None:
        self.recent.remove(number)
        self.recent.insert(0, number)

    def _visible(self) -> set[int]:
        return {panel.number for panel in self.query(ShadedPanel) if panel.display}

    def _relayout(self) -> None:
        """Redraw now, and again once the panels have their new sizes."""
        self.update_now()
        self.call_after_refresh(self.update_now)
