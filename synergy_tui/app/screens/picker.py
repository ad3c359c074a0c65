"""Where to begin: the scenarios that can be run, and the experiments and sweeps that were."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static
from textual.worker import get_current_worker

from synergy_tui import words
from synergy_tui.app import keys
from synergy_tui.app.clipboard import tsv
from synergy_tui.app.screens.changes import begin
from synergy_tui.app.screens.entries import (
    about_experiment,
    about_scenario,
    experiment_section,
    scenario_section,
)
from synergy_tui.app.screens.marks import Marking
from synergy_tui.app.session import Copy, Mark, OpenExperiment, OpenSweep
from synergy_tui.app.widgets.filter import FilterBar, Filtering
from synergy_tui.app.widgets.frame import Header, KeyBar
from synergy_tui.app.widgets.listing import Listing
from synergy_tui.app.widgets.strips import Field
from synergy_tui.errors import UserError
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.scenario import library
from synergy_tui.sweep.directory import SCENARIO as SWEEP_SCENARIO, Sweep
from synergy_tui.sweep.entries import Entry, list_entries, summary

NARROW = 132
"""Below this width the details stand beneath the list."""
LOOK_SECONDS = 2.0
"""Between two looks at what runs."""
FIRST, BATCH = 40, 200
"""Rows that are shown first, and how many more are read before these are shown."""

if TYPE_CHECKING:
    from synergy_tui.sweep.start import Plan


class PickerScreen(Filtering, Marking, Screen[None]):
    """A list of scenarios and experiments, and what is known of the one under the cursor."""

    BINDINGS = keys.bindings_for("picker")
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    PickerScreen #both { layout: horizontal; height: 1fr; }
    PickerScreen Listing { width: 11fr; }
    PickerScreen #about { width: 9fr; padding: 1 2; border-left: solid $foreground 20%; }
    PickerScreen.-narrow #both { layout: vertical; }
    PickerScreen.-narrow Listing { width: 1fr; }
    PickerScreen.-narrow #about {
        width: 1fr; height: 40%; padding: 0 1; border-left: none;
        border-top: solid $foreground 20%;
    }
    PickerScreen.-ascii-screen #about { border-left: ascii $foreground; }
    PickerScreen.-ascii-screen.-narrow #about { border-left: none; border-top: ascii $foreground; }
    """

    def __init__(self, home: str | Path | None = None) -> None:
        super().__init__()
        self._home = home
        self._entries: dict[str, library.Entry] = {}
        self._found: dict[str, dict[str, Any]] = {}
        self._problem = ""
        self._starting = False
        self._plans: dict[str, Plan] = {}  # of the sweep that may be started by another enter

    def compose(self) -> ComposeResult:
        yield Header()
        with Container(id="both"):
            yield Listing(id="list")
            with VerticalScroll(id="about", can_focus=False):
                yield Static(id="details", markup=False)
        yield FilterBar()
        yield KeyBar("picker")

    def on_mount(self) -> None:
        self.set_class(bool(getattr(self.app, "ascii_only", False)), "-ascii-screen")
        self._entitle("")
        self._say("Looking for scenarios and experiments …")
        self.action_reload()
        self.set_interval(LOOK_SECONDS, self._look_again)

    def _entitle(self, counted: str) -> None:
        self.query_one(Header).show(
            [
                Field("Synergy", "title"),
                Field("choose a scenario or an experiment", "muted", weight=1),
                Field(counted, "muted", weight=2, right=True),
            ]
        )

    def _say(self, text: str | Content) -> None:
        self.query_one("#details", Static).update(text)

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < NARROW, "-narrow")

    def on_screen_resume(self) -> None:
        """Draw marks that were set elsewhere."""
        if self._listing.sections:
            self._show()

    # What is there

    def action_reload(self) -> None:
        """Look again, off the event loop."""
        self.run_worker(self._look, thread=True, exclusive=True, exit_on_error=False)

    def _look(self) -> None:
        worker = get_current_worker()
        entries = library.scenarios()
        problem = ""
        try:
            found = list_entries(self._home)
        except UserError as error:
            found, problem = [], error.message
        listed: list[dict[str, Any]] = []
        shown_at = len(found) if self._found else FIRST
        for each in reversed(found):
            if worker.is_cancelled:
                return
            if len(listed) == shown_at:
                shown_at += BATCH
                self.app.call_from_thread(self._take, entries, listed[:], problem)
            listed.append(_described(each))
        self.app.call_from_thread(self._take, entries, listed, problem)

    def _take(
        self, entries: list[library.Entry], found: list[dict[str, Any]], problem: str
    ) -> None:
        self._entries = {f"scenario:{entry.path}": entry for entry in entries}
        self._found = {f"experiment:{each['path']}": each for each in found}
        self._problem = problem
        kinds = [each["kind"] for each in found]
        counts = [words.counted(len(entries), "scenario")]
        counts += [words.counted(kinds.count(kind), kind) for kind in sorted(set(kinds))]
        self._entitle(" · ".join(counts))
        self._show()
        self._describe()

    def _look_again(self) -> None:
        """Bring what runs up to date."""
        live = [key for key, each in self._found.items() if each["state"] in ("running", "new")]
        if live and self.is_current:

            def look() -> None:
                fresh = {key: _described(_entry(self._found[key])) for key in live}
                self.app.call_from_thread(self._refresh, fresh)

            self.run_worker(look, thread=True, group="live", exclusive=True, exit_on_error=False)

    def _refresh(self, fresh: dict[str, dict[str, Any]]) -> None:
        ended = [key for key in fresh if fresh[key]["state"] != self._found[key]["state"]]
        self._found |= {key: each for key, each in fresh.items() if key in self._found}
        self._show()
        if self._listing.selected in ended:
            self._describe()

    def _show(self) -> None:
        if not self.is_attached:
            return
        nothing = self._problem or "none yet: choose a scenario above"
        marked = [mark.path for mark in self.marks]
        query = self.query_text
        sections = [
            scenario_section(self._entries, query),
            experiment_section(self._found, query, marked, nothing),
        ]
        self._listing.show(sections)
        self.filter_bar.count(len(self._listing.rows), len(self._entries) + len(self._found))

    @property
    def _listing(self) -> Listing:
        return self.query_one(Listing)

    def on_filter_bar_sought(self) -> None:
        self._show()

    def on_listing_moved(self) -> None:
        self._describe()

    def _describe(self) -> None:
        self._plans = {}
        name = self._listing.selected
        if name in self._entries:
            self._say(about_scenario(self._entries[name], self._keyed))
        elif name in self._found:
            self._say(about_experiment(self._found[name], self._keyed))
        else:
            self._say("")

    # Keys

    def action_cursor(self, by: int) -> None:
        self._listing.move(by)

    def action_section(self) -> None:
        self._listing.next_section()

    async def action_back(self) -> None:
        """Undo the filter, then go back to the screen before."""
        if not self.unfiltered():
            await self.run_action("app.back")

    def on_listing_chosen(self) -> None:
        self.action_open()

    def action_open(self) -> None:
        name = self._listing.selected
        if name in self._found:
            each = self._found[name]
            if each["kind"] == "sweep":
                self._open_sweep(each)
                return
            self._follow(Experiment(each["path"]), each["state"])
        elif name in self._entries and not self._starting:
            entry = self._entries[name]
            plan = self._plans.get(name)
            if not entry.sweep:
                word, start = "Starting", lambda: self._start(entry.path)
            elif plan is None:
                word, start = "Estimating", lambda: self._estimate(name, entry.path)
            else:
                word, start = "Starting", lambda: self._start_sweep(plan)
            self._starting = True
            self._say(f"{word} {entry.title} …")
            self.run_worker(start, thread=True, exit_on_error=False, group="start")

    def markable(self) -> Mark | None:
        each = self._found.get(self._listing.selected)
        if each is None or each["kind"] == "sweep":
            what = "Open the sweep and mark its points" if each else "Mark an experiment"
            self.notify(f"{what}.", timeout=4)
            return None
        return Mark(Path(each["path"]))

    def show_marks(self) -> None:
        self._show()

    def action_copy_table(self) -> None:
        """Copy the list that the cursor is in, as the filter leaves it."""
        section = self._listing.section
        rows = [] if section is None else [[column.name.strip() for column in section.columns]]
        what = "list"
        if section is not None:
            what = f"list of {section.title.lower()}"
            rows += [[cell.text for cell in row.cells] for row in section.rows]
        self.post_message(Copy(tsv(rows), what))

    def action_change(self, what: str) -> None:
        """Stop, resume or remove what is under the cursor, once that is confirmed."""
        each = self._found.get(self._listing.selected)
        if each is None:
            self.notify("This is a scenario: there is nothing to stop or remove.", timeout=4)
            return
        begin(self, what, _entry(each), self.action_reload)

    def _start(self, path: Path) -> None:
        """Make the experiment and start its worker: reading and forking, off the event loop."""
        from synergy_tui.experiments.experiment import create_experiment
        from synergy_tui.running.worker import launch
        from synergy_tui.scenario import load_scenario

        try:
            experiment = create_experiment(load_scenario(path), self._home)
            launch(experiment)
        except UserError as error:
            self.app.call_from_thread(self._refuse, error)
            return
        self.app.call_from_thread(self._follow, experiment, "running")

    def _estimate(self, name: str, path: Path) -> None:
        """What a sweep would cost, to be confirmed before it starts."""
        from synergy_tui.sweep.start import plan_new

        try:
            plan = plan_new(str(path))
        except UserError as error:
            self.app.call_from_thread(self._refuse, error)
            return
        self.app.call_from_thread(self._ask, name, plan)

    def _ask(self, name: str, plan: Plan) -> None:
        self._starting = False
        if self._listing.selected != name:
            return  # the cursor has gone elsewhere
        self._plans = {name: plan}
        self._say(
            Content.assemble(
                ("Start this sweep?\n\n", "bold"),
                f"{plan.announcement}\n\n",
                (self._keyed("{picker.open} starts it"), "$text-warning"),
                "; it continues when you leave. Moving to another line cancels.",
            )
        )

    def _start_sweep(self, plan: Plan) -> None:
        from synergy_tui.sweep.start import begin as make
        from synergy_tui.sweep.worker import launch

        try:
            sweep = make(plan, self._home)
            launch(sweep, plan.backend)
        except UserError as error:
            self.app.call_from_thread(self._refuse, error)
            return
        self.app.call_from_thread(self._follow_sweep, sweep)

    def _open_sweep(self, each: dict[str, Any]) -> None:
        sweep = Sweep(each["path"])
        try:
            sweep.require_sound()
        except UserError as error:
            self._refuse(error)
            return
        self._follow_sweep(sweep)

    def _follow_sweep(self, sweep: Sweep) -> None:
        self._starting = False
        self._plans = {}
        self.post_message(OpenSweep(sweep))

    def _refuse(self, error: UserError) -> None:
        self._starting = False
        hint = f"\n\n{error.hint}" if error.hint else ""
        text = Content.assemble((error.message, "$text-error"), hint)
        self._say(text)

    def _follow(self, experiment: Experiment, state: str) -> None:
        self._starting = False
        live = state in ("running", "new")
        self.post_message(OpenExperiment(experiment, "live" if live else "replay"))


def _entry(each: dict[str, Any]) -> Entry:
    return Sweep(each["path"]) if each["kind"] == "sweep" else Experiment(each["path"])


def _described(each: Entry) -> dict[str, Any]:
    """An experiment or sweep as the list shows it."""
    file = SWEEP_SCENARIO if isinstance(each, Sweep) else "scenario.toml"
    return {**summary(each), "entry": library.read(each.path / file)}
