"""Where to begin: the scenarios that can be run, and the experiments and sweeps that were."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from synergy_tui import words
from synergy_tui.app import keys
from synergy_tui.app.session import OpenExperiment, OpenSweep
from synergy_tui.app.widgets.frame import Header, KeyBar
from synergy_tui.app.widgets.strips import Field
from synergy_tui.errors import UserError
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.scenario import library
from synergy_tui.sweep.directory import SCENARIO as SWEEP_SCENARIO, Sweep
from synergy_tui.sweep.entries import list_entries, summary

MOST = 200
"""How many of the newest experiments and sweeps are listed."""
NARROW = 96
"""Below this width the details stand beneath the list."""
LONGEST = 24
"""Characters of a scenario's name in the list, at most."""

if TYPE_CHECKING:
    from synergy_tui.sweep.start import Plan

MUTED = "$foreground 60%"

_STATES = {
    "running": ("●", "$text-success", "enter returns to it"),
    "new": ("…", MUTED, "enter waits for its worker"),
    "finished": ("✓", "$text-success", "enter replays it"),
    "failed": ("✗", "$text-error", "enter shows how far it came"),
    "stopped": (
        "■",
        "$text-warning",
        "enter shows how far it came; to continue:\nsynergy resume {id}",
    ),
    "damaged": ("✗", "$text-error", "it cannot be opened; to remove it:\nsynergy rm {id}"),
    "dead": ("?", "$text-error", "its worker is gone; to continue:\nsynergy resume {id}"),
}
"""Mark, style, and what can be done, by state."""
_DISAPPOINTED = ("!", "$text-warning", "an expectation failed; enter replays it")
"""The same for what finished, but not as expected."""


class PickerScreen(Screen[None]):
    """A list of scenarios and experiments, and what is known of the one under the cursor."""

    BINDINGS = keys.bindings_for("picker")
    DEFAULT_CSS = """
    PickerScreen #both { layout: horizontal; height: 1fr; }
    PickerScreen #list {
        width: 9fr; height: 1fr; border: none; padding: 0 1;
        text-wrap: nowrap; text-overflow: ellipsis;
    }
    PickerScreen #list, PickerScreen #list:focus {
        background: $background; background-tint: $foreground 0%;
        & > .option-list--option-highlighted {
            background: $primary 30%; color: $foreground; text-style: bold;
        }
    }
    PickerScreen #list:ansi > .option-list--option-highlighted {
        background: $background; text-style: bold reverse;
    }
    PickerScreen #about { width: 11fr; padding: 1 2; border-left: solid $foreground 20%; }
    PickerScreen.-narrow #both { layout: vertical; }
    PickerScreen.-narrow #list { width: 1fr; }
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
            yield OptionList(id="list", markup=False)
            with VerticalScroll(id="about", can_focus=False):
                yield Static(id="details", markup=False)
        yield KeyBar("picker")

    def on_mount(self) -> None:
        self.set_class(bool(getattr(self.app, "ascii_only", False)), "-ascii-screen")
        self._entitle("")
        self.query_one("#details", Static).update("Looking for scenarios and experiments …")
        self.action_reload()

    def _entitle(self, counted: str) -> None:
        self.query_one(Header).show(
            [
                Field("Synergy", "title"),
                Field("choose a scenario or an experiment", "muted", weight=2),
                Field(counted, "muted", weight=1, right=True),
            ]
        )

    def on_resize(self, event: events.Resize) -> None:
        self.set_class(event.size.width < NARROW, "-narrow")
        self.call_after_refresh(self.query_one("#list", OptionList).scroll_to_highlight)

    def action_reload(self) -> None:
        """Look again, off the event loop."""
        self.run_worker(self._look, thread=True, exclusive=True, exit_on_error=False)

    def _look(self) -> None:
        entries = library.scenarios()
        problem = ""
        try:
            found = list_entries(self._home)[-MOST:]
        except UserError as error:
            found, problem = [], error.message
        listed = [
            {
                **summary(each),
                "entry": library.read(
                    each.path / (SWEEP_SCENARIO if isinstance(each, Sweep) else "scenario.toml")
                ),
            }
            for each in reversed(found)
        ]
        self.app.call_from_thread(self._show, entries, listed, problem)

    def _show(
        self, entries: list[library.Entry], found: list[dict[str, Any]], problem: str
    ) -> None:
        self._entries = {f"scenario:{entry.path}": entry for entry in entries}
        self._found = {f"experiment:{each['path']}": each for each in found}
        self._problem = problem
        kinds = [each["kind"] for each in found]
        counts = [words.counted(len(entries), "scenario")]
        counts += [words.counted(kinds.count(kind), kind) for kind in sorted(set(kinds))]
        self._entitle(" · ".join(counts))
        names = [entry.path.stem for entry in entries] + [each["scenario"] for each in found]
        width = min(max(map(len, names), default=0), LONGEST)
        listed = self.query_one("#list", OptionList)
        kept = listed.highlighted
        listed.clear_options()

        def heading(text: str) -> Option:
            return Option(Content.styled(text, f"bold {MUTED}"), disabled=True)

        def nothing(text: str) -> Option:
            return Option(Content.styled(f"  {text}", MUTED), disabled=True)

        listed.add_option(heading("SCENARIOS"))
        for name, entry in self._entries.items():
            listed.add_option(Option(_scenario_line(entry, width), id=name))
        if not entries:
            listed.add_option(nothing("none in ./scenarios"))
        listed.add_option(heading("EXPERIMENTS AND SWEEPS"))
        for name, each in self._found.items():
            listed.add_option(Option(_experiment_line(each, width), id=name))
        if not found:
            listed.add_option(nothing(problem or "none yet: choose a scenario above"))
        listed.highlighted = kept if kept else 1
        listed.focus()

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        self._plans = {}
        self.query_one("#details", Static).update(self._about(event.option_id or ""))

    def _about(self, name: str) -> Content:
        if name in self._entries:
            return _about_scenario(self._entries[name])
        return _about_experiment(self._found[name]) if name in self._found else Content()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self._open(event.option_id or "")

    def action_open(self) -> None:
        listed = self.query_one("#list", OptionList)
        if listed.highlighted is not None:
            self._open(listed.get_option_at_index(listed.highlighted).id or "")

    def action_cursor_down(self) -> None:
        self.query_one("#list", OptionList).action_cursor_down()

    def action_first(self) -> None:
        self.query_one("#list", OptionList).action_first()

    def action_last(self) -> None:
        self.query_one("#list", OptionList).action_last()

    def action_cursor_up(self) -> None:
        self.query_one("#list", OptionList).action_cursor_up()

    def _open(self, name: str) -> None:
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
            self.query_one("#details", Static).update(f"{word} {entry.title} …")
            self.run_worker(start, thread=True, exit_on_error=False, group="start")

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
        listed = self.query_one("#list", OptionList)
        at = listed.highlighted
        if at is None or listed.get_option_at_index(at).id != name:
            return  # the cursor has gone elsewhere
        self._plans = {name: plan}
        self.query_one("#details", Static).update(
            Content.assemble(
                ("Start this sweep?\n\n", "bold"),
                f"{plan.announcement}\n\n",
                ("enter starts it", "$text-warning"),
                "; it continues when you leave. Any other line leaves it.",
            )
        )

    def _start_sweep(self, plan: Plan) -> None:
        from synergy_tui.sweep.start import begin
        from synergy_tui.sweep.worker import launch

        try:
            sweep = begin(plan, self._home)
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
        self.query_one("#details", Static).update(text)

    def _follow(self, experiment: Experiment, state: str) -> None:
        self._starting = False
        live = state in ("running", "new")
        self.post_message(OpenExperiment(experiment, "live" if live else "replay"))


def _state(each: dict[str, Any]) -> tuple[str, str, str]:
    """Mark, style, and what can be done with an experiment."""
    if each["state"] == "finished" and each["exit_code"]:
        return _DISAPPOINTED
    mark, style, can = _STATES.get(each["state"], ("?", MUTED, "enter opens it"))
    if each.get("watched") and each["state"] in ("stopped", "dead"):
        can = "your own training, which has ended; enter shows how far it came"
    return mark, style, can


def _scenario_line(entry: library.Entry, width: int) -> Content:
    """A scenario in the list: its name, and its title as far as there is room."""
    if entry.problem:
        return Content.styled(f"  {entry.path.stem}", "$text-error")
    kind = "sweep: " if entry.sweep else ""
    title = (f"  {kind}{entry.title}", MUTED)
    return Content.assemble(f"  {words.cut(entry.path.stem, width).ljust(width)}", title)


def _experiment_line(each: dict[str, Any], width: int) -> Content:
    """An experiment in the list: state, name, age."""
    mark, style, _ = _state(each)
    return Content.assemble(
        (f"{mark} ", style),
        f"{words.cut(each['scenario'], width).ljust(width)}  ",
        (f"{each['state']:<9}", style),
        (f"{words.age(each['started']):>10}", MUTED),
    )


def _about_scenario(entry: library.Entry) -> Content:
    """What is known of a scenario, and what enter does."""
    if entry.problem:
        return Content.assemble(
            (f"{entry.path.name} cannot be read\n\n", "bold"), (entry.problem, "$text-error")
        )
    parts: list[Any] = [(f"{entry.title}\n\n", "bold")]
    if entry.description:
        parts.append(f"{entry.description}\n\n")
    if entry.runs:
        parts.append(f"runs   {', '.join(entry.runs)}\n")
    parts.append((f"file   {entry.path}\n\n", MUTED))
    parts.append(
        "A sweep of many experiments: enter estimates its time before it asks to start it"
        if entry.sweep
        else "enter runs it; it continues when you leave"
    )
    return Content.assemble(*parts)


def _about_experiment(each: dict[str, Any]) -> Content:
    """What is known of an experiment, and what can be done with it."""
    _, style, what = _state(each)
    entry: library.Entry = each["entry"]
    took = "" if each["elapsed"] is None else f", took {words.clock(each['elapsed'])}"
    parts: list[Any] = [(f"{each['scenario'] if entry.problem else entry.title}\n\n", "bold")]
    if each["verdict"]:
        parts.append(f"{each['verdict']}\n\n")
    parts += ["state    ", (f"{each['state']}\n", style)]
    parts.append(f"started  {words.age(each['started'])}{took}\n")
    if entry.runs:
        parts.append(f"runs     {', '.join(entry.runs)}\n")
    parts.append((f"folder   {each['path']}\n\n", MUTED))
    parts.append(what.format(id=each["id"]))
    return Content.assemble(*parts)
