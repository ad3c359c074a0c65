"""The head inspector: what each head of a run attends to, alone and mixed, at the step cursor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from textual.app import ComposeResult
from textual.containers import Container
from textual.widgets import Static

from synergy_tui.app import keys
from synergy_tui.app.clipboard import tsv_of_csv
from synergy_tui.app.inspector.headviews import ORDERS
from synergy_tui.app.inspector.measures import (
    Answer,
    Bench,
    Ceilings,
    Question,
    fitted,
)
from synergy_tui.app.inspector.ordered import Ordered, measure_ordered, ordered_key
from synergy_tui.app.inspector.view import InspectorView
from synergy_tui.app.screens.arrange import (
    ARRIVAL,
    COMPACT,
    HEADS,
    LAYERS,
    MAP,
    MAPS,
    PANELS,
    PATHS,
    SMALLEST,
    WHAT_IF,
    arrange_inspector,
)
from synergy_tui.app.screens.asking import Answered, AskingScreen
from synergy_tui.app.screens.base import TimedScreen
from synergy_tui.app.session import Copy, OpenStepper, Session
from synergy_tui.app.widgets.frame import FieldStrip, Header, KeyBar, TimelineBar
from synergy_tui.app.widgets.shading import SCALES
from synergy_tui.app.widgets.strips import Field
from synergy_tui.app.widgets.views import ShadedPanel, say
from synergy_tui.experiments.attention import Snapshot, load_snapshot
from synergy_tui.experiments.metrics import as_number

MOST_PATHS = 20


class InspectorScreen(AskingScreen, TimedScreen):
    """The heads of one run at the step cursor."""

    BINDINGS = keys.bindings_for("inspector")
    DEFAULT_CSS = "InspectorScreen #tabs { display: none; }"
    unprobed = "nothing was probed up to this step: ] goes to the next probe"

    def __init__(self, session: Session, run: str) -> None:
        super().__init__(session, run)
        self.question = Question()
        self.selected: int | None = None
        self.map_row = -1
        self.order_by = "index"
        self.scale = SCALES[0]
        self.zoomed = False
        self.maximised = False
        self.in_order = False
        self.ceilings: Ceilings | None = None
        self.ordered: Ordered | None = None
        self.recent = [MAPS, PATHS, ARRIVAL, WHAT_IF, HEADS, MAP]
        self.snapshot: Snapshot | None = None
        self.answer: Answer | None = None
        self._bench: Bench | None = None
        self._view: InspectorView | None = None
        self._asked_slowly: object = None
        # Heads must be answered for while bounds are still computed.
        self._slow = self.new_desk()

    def compose(self) -> ComposeResult:
        yield Header(id="header")
        yield FieldStrip(id="tabs")
        with Container(id="body"):
            for number, name in enumerate(PANELS):
                yield ShadedPanel(number, id=name.replace(" ", "-"))
            yield ShadedPanel(LAYERS, id="layers")
        yield TimelineBar(id="timeline")
        yield KeyBar("inspector", id="keys")
        yield Static(id="too-small")

    # Asking

    @property
    def shown_step(self) -> int:
        return self.timeline.step

    @property
    def settled(self) -> bool:
        """Whether what was asked for last has been answered, or refused."""
        if self.trouble or not self.answered:
            return bool(self.trouble)
        return (self._current_ordered() if self.in_order else self._current_ceilings()) is not None

    def _current_ceilings(self) -> Ceilings | None:
        """What no weights could exceed, when it is about the heads that are shown."""
        bench, known = self._bench, self.ceilings
        if bench is None or known is None:
            return None
        key = bench.ceilings_key(fitted(self.question, bench.snapshot))
        return known if known.key == key else None

    def _current_ordered(self) -> Ordered | None:
        """What the layers in order hear, when it is about the input that is shown."""
        bench, known = self._bench, self.ordered
        if bench is None or known is None:
            return None
        which = fitted(self.question, bench.snapshot).input
        return known if known.key == ordered_key(bench.snapshot, which) else None

    def _ask(self) -> None:
        probe, question = self.probe, self.question
        if probe is not None and probe.attention is not None:
            path = probe.attention
            self.ask((path, question), lambda: self._measure(path, question))
            if self.answered and self._bench is not None:
                self._ask_slowly(self._bench, fitted(question, self._bench.snapshot))

    def _ask_slowly(self, bench: Bench, question: Question) -> None:
        """Ask for what the layers in order hear, or for what no weights could exceed."""
        work: Callable[[], Ordered | Ceilings]
        known: Ordered | Ceilings | None
        if self.in_order:
            work = partial(measure_ordered, bench.snapshot, question.input)
            key, known = ordered_key(bench.snapshot, question.input), self.ordered
        else:
            work = partial(bench.ceilings, question)
            key, known = bench.ceilings_key(question), self.ceilings
        if (known is None or known.key != key) and self._asked_slowly != key:
            self._asked_slowly = key
            self._slow.ask(lambda: Answered(None, work()))

    def _measure(self, path: str, question: Question) -> tuple[Snapshot, Answer]:
        # Only the desk's one thread comes here, so the bench needs no lock.
        if self._bench is None or self._bench.snapshot.key != path:
            self._bench = Bench(load_snapshot(self.session.experiment, path))
        snapshot = self._bench.snapshot
        return snapshot, self._bench.answer(fitted(question, snapshot))

    def take(self, result: object) -> None:
        if isinstance(result, Ceilings):
            self.ceilings = result
            return
        if isinstance(result, Ordered):
            self.ordered = result
            return
        assert isinstance(result, tuple)
        self.snapshot, self.answer = snapshot, _ = result
        if self.selected is not None and self.selected >= snapshot.heads:
            self.selected = None

    # Showing

    def refresh_view(self) -> None:
        if not self.fits(SMALLEST, "The inspector", "{inspector.restore} goes back."):
            return
        self._ask()
        self._arrange()
        self.query_one(Header).show(self._header())
        self.query_one(TimelineBar).show(self.track())
        self._show_panels()

    def _arrange(self) -> None:
        width, height = self.size
        narrow = width < COMPACT[0] or height - 3 < COMPACT[1]
        tabs = self.query_one("#tabs", FieldStrip)
        tabs.display = (narrow or self.maximised) and not self.in_order
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
        self.place_panels({LAYERS: (0, 0, width, body)} if self.in_order else places)
        for panel in self.query(ShadedPanel):
            panel.set_class(panel.number == self.recent[0], "-selected")

    def _header(self) -> list[Field]:
        run, probe, snapshot, now = self.run_state, self.probe, self.snapshot, self.session.status
        fields = self.run_fields("heads", 60)
        if snapshot is not None:
            place = fitted(self.question, snapshot)
            if self.in_order:
                fields.append(Field(f"all {snapshot.layers} layers in order", "text", 50))
            elif snapshot.layers > 1:
                fields.append(Field(f"layer {place.layer + 1}/{snapshot.layers}", "text", 50))
            if snapshot.inputs > 1:
                fields.append(Field(f"input {place.input + 1}/{snapshot.inputs}", "text", 48))
            if not self.in_order:
                fields.append(Field(f"token {snapshot.name(place.source)}", "text", 46))
                fields.append(Field(f"sorted by {self.order_by}", "muted", 20))
        fields += self.progress_fields()
        fields.append(Field(f" {now.word} ", now.style, right=True))
        if probe is not None and run is not None and run.learns:
            fields.append(Field(f"probe at step {probe.step:,}", "headline", 55, right=True))
        return fields

    def _show_panels(self) -> None:
        missing = self.missing(self.answer is not None)
        view = self.view()
        for panel in self.query(ShadedPanel):
            if not panel.display:
                continue
            if missing or view is None:
                panel.show(say(missing), "" if self.in_order else PANELS[panel.number])
            else:
                paint, title, hint = view.panel(panel.number)
                panel.show(paint, title, self.session.keyed(hint))

    def view(self) -> InspectorView | None:
        if self.answer is None or self.snapshot is None:
            return None
        self._view = InspectorView(
            snapshot=self.snapshot,
            answer=self.answer,
            selected=self.selected,
            off=self.question.off,
            source=fitted(self.question, self.snapshot).source,
            query=self.map_row,
            order_by=self.order_by,
            scale=self.scale,
            zoomed=self.zoomed,
            ascii_only=self.session.ascii_only,
            losses_without=self._losses_without(),
            ceilings=self._current_ceilings(),
            ordered=self._current_ordered(),
        )
        return self._view

    def _losses_without(self) -> list[float]:
        """Held-out loss without each head of the layer that is shown; empty if not measured."""
        probe, answer, snapshot = self.probe, self.answer, self.snapshot
        if probe is None or answer is None or snapshot is None or probe.attention != snapshot.key:
            return []
        if answer.question.layer >= len(probe.layers):
            return []
        heads = probe.layers[answer.question.layer].get("per_head") or []
        found = [as_number(head.get("loss_without")) for head in heads]
        known = [loss for loss in found if loss is not None]
        return known if len(known) == snapshot.heads else []

    # What keys do

    def action_head(self, by: int) -> None:
        view = self.view()
        if view is None:
            return
        heads = view.heads()
        self.selected = heads[(heads.index(self.selected) + by) % len(heads)]
        self.update_now()

    def action_token(self, by: int) -> None:
        if self.snapshot is not None:
            last = self.snapshot.nodes - 1
            source = (fitted(self.question, self.snapshot).source + by) % max(last, 1)
            self.question = replace(self.question, source=source)
            self.update_now()

    def action_query(self, by: int) -> None:
        if self.snapshot is not None:
            last = self.snapshot.nodes - 1
            source = fitted(self.question, self.snapshot).source
            here = last if self.map_row < source else self.map_row
            self.map_row = min(max(here + by, source), last)
            self.update_now()

    def action_bottleneck(self) -> None:
        if self.answer is not None:
            self.question = replace(self.question, source=self.answer.now.weakest)
            self.update_now()

    def action_switch(self) -> None:
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
        self.question = replace(self.question, off=frozenset())
        self.update_now()

    def action_sort(self) -> None:
        self.order_by = ORDERS[(ORDERS.index(self.order_by) + 1) % len(ORDERS)]
        self.update_now()

    def action_layer(self) -> None:
        """Show the next layer, after the last all in order; heads that are off belong to one layer,
        so all are switched on.
        """
        if self.snapshot is not None and self.snapshot.layers > 1:
            layer = fitted(self.question, self.snapshot).layer + 1
            self.in_order = layer == self.snapshot.layers and not self.in_order
            if not self.in_order:
                layer %= self.snapshot.layers
                self.question = replace(self.question, layer=layer, off=frozenset())
            self.update_now()

    def action_gradient(self) -> None:
        self.question = replace(self.question, gradient=not self.question.gradient)
        self.update_now()

    def action_input(self, by: int) -> None:
        if self.snapshot is not None:
            which = (fitted(self.question, self.snapshot).input + by) % self.snapshot.inputs
            self.question = replace(self.question, input=which)
            self.update_now()

    def action_run(self, by: int) -> None:
        if self.next_run(by):
            self.question = replace(self.question, off=frozenset())
            self.answer = self.snapshot = self.selected = None
            self.update_now()

    def action_scale(self) -> None:
        self.scale = SCALES[(SCALES.index(self.scale) + 1) % len(SCALES)]
        self.update_now()

    def action_cells(self) -> None:
        self.zoomed = not self.zoomed
        self._select(MAP)
        self.update_now()

    def action_paths(self, by: int) -> None:
        count = min(max(self.question.paths + by, 1), MOST_PATHS)
        self.question = replace(self.question, paths=count)
        self.update_now()

    def action_panel(self, by: int) -> None:
        self._select((self.recent[0] + by) % len(PANELS))
        self.relayout()

    def action_show_panel(self, number: int) -> None:
        self._select(number)
        self.relayout()

    def action_maximise(self) -> None:
        self.maximised = not self.maximised
        self.relayout()

    def action_restore(self) -> None:
        """Leave the maximised panel; without one, the screen."""
        if self.maximised:
            self.action_maximise()
        else:
            self.call_later(self.run_action, "app.back")

    def action_stepper(self) -> None:
        probe, asked = self.probe, self.question
        if probe is not None and probe.attention is not None and self.run_name is not None:
            self.post_message(
                OpenStepper(self.run_name, probe.step, asked.layer, asked.input, asked.source)
            )

    def action_copy_table(self) -> None:
        self.post_message(Copy(tsv_of_csv(self.as_csv()), "table of heads"))

    def action_export(self) -> None:
        self.export(f"inspector-{self.run_name}", self.as_csv())

    def as_csv(self) -> str:
        """The figures of every head and of the mixtures, one per line."""
        view, probe = self.view(), self.probe
        return "" if view is None or probe is None else view.as_csv(self.run_name or "", probe.step)

    def on_shaded_panel_pointed(self, message: ShadedPanel.Pointed) -> None:
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
        self.relayout()

    def _select(self, number: int) -> None:
        self.recent.remove(number)
        self.recent.insert(0, number)

    def _visible(self) -> set[int]:
        return {panel.number for panel in self.query(ShadedPanel) if panel.display}
