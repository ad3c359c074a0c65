"""The one table of keys: dispatch, footer, help screen and command palette are made from it.

A key means one thing on every screen: `alphabet.ALPHABET` gives each meaning its keys, and each row
of :data:`TABLE` says what that meaning does on some screens. To give a screen a new key, add a row;
to use a free key, give it a meaning first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from synergy_tui.app.alphabet import ALPHABET

if TYPE_CHECKING:
    from textual.binding import BindingType

ALL = (
    "dashboard", "heads", "inspector", "stepper", "picker", "log", "help", "sweep", "sidebyside",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Key:
    """One row of the table."""

    id: str  # what a user's keys.toml names it
    means: str  # of ALPHABET
    action: str  # of the screen, or app.… for the app
    label: str  # one or two words, for the footer
    help: str  # a sentence, for the help screen and the command palette
    group: str  # heading on the help screen
    screens: tuple[str, ...]  # where it works
    footer: int = 0  # place: small numbers survive in narrow terminals; 0 keeps it out
    pair: str = ""  # id of the key that undoes it, named with it in the footer

    @property
    def keys(self) -> str:
        """Textual's names of its keys, separated by commas."""
        return ALPHABET[self.means]


def _for(group: str, *screens: str) -> Callable[..., Key]:
    return partial(Key, group=group, screens=screens)


_time = _for("Time", "dashboard", "heads", "inspector", "sidebyside")
_view = _for("View", "dashboard")
_curves = _for("View", "dashboard", "heads", "sidebyside")
_take = partial(Key, group="Take away")
_heads = _for("Heads", "inspector")
_over = _for("Heads over training", "heads")
_panels = _for("View", "inspector")
_spread = _for("Diffusion", "stepper")
_picker = _for("Picker", "picker")
_sweep = _for("Sweep", "sweep")
_lists = partial(Key, group="Lists")
_beside = _for("Side by side", "sidebyside")
_confirm = _for("Confirm", "confirm")
_text = _for("Read", "log", "help")
_anywhere = partial(Key, group="Everywhere")

TABLE: tuple[Key, ...] = (
    # Time
    _time("time.play", "play or pause", "toggle_play", "play/pause",
        "Freeze what is shown while the log keeps growing; again: play on from there. At the end "
        "of a recording: play it from the start", footer=1),
    _time("time.back", "one step back", "step(-1)", "step", "Go to the probe before",
        footer=4, pair="time.forward"),
    _time("time.forward", "one step on", "step(1)", "forward", "Go to the next probe"),
    _time("time.jump_back", "jump back", "jump(-1)", "jump back", "Go back a tenth of the run"),
    _time("time.jump_forward", "jump on", "jump(1)", "jump on", "Go forward a tenth of the run"),
    _time("time.first", "beginning", "first", "first", "Go to the first probe"),
    _time("time.follow", "end", "follow", "follow", "Go to the newest step and follow it",
        footer=12),
    _time("time.faster", "faster", "speed(1)", "faster", "Play twice as fast"),
    _time("time.slower", "slower", "speed(-1)", "slower", "Play half as fast"),
    # View
    _view("view.inspect", "open", "inspect", "inspect",
        "Open the selected run's heads (a designed graph: the diffusion stepper)", footer=3),
    _view("view.stepper", "diffusion", "stepper", "diffuse",
        "Step through the diffusion of the selected run", footer=14),
    _view("view.heads", "every head", "heads", "every head",
        "Show each head of the selected run over training, by one measure at a time", footer=18),
    _view("view.convention", "measure", "convention", "measure",
        "Show the numbers under the next definition of the mixing time", footer=6),
    _view("view.layer", "layer", "layer", "layer", "Show the next layer, or all layers together",
        footer=13),
    _view("view.overlay", "overlay", "overlay", "overlay",
        "Put all runs into one chart, or back into columns", footer=7),
    _curves("view.crosshair", "crosshair", "crosshair", "crosshair",
        "Read every curve's value at one step; again: take the crosshair away", footer=16),
    _curves("view.aim_left", "inner left", "aim(-1)", "crosshair left",
        "Move the crosshair left; without one, the steps that are shown after zooming in"),
    _curves("view.aim_right", "inner right", "aim(1)", "crosshair right",
        "Move the crosshair right; without one, the steps that are shown after zooming in"),
    _curves("view.zoom_in", "more", "zoom(1)", "zoom",
        "Show half as many steps, around the crosshair or up to the newest", footer=17,
        pair="view.zoom_out"),
    _curves("view.zoom_out", "less", "zoom(-1)", "zoom out", "Show twice as many steps"),
    _curves("view.reset", "reset", "reset", "all steps", "Show all steps, without a crosshair"),
    _curves("view.window", "window", "window", "last steps",
        "Show all training steps, or only the last so many"),
    _curves("view.smoothing", "average", "smoothing", "smoothing",
        "Smooth the training loss more, less, or not at all",
        screens=("dashboard", "sidebyside")),
    _curves("view.logarithmic", "scale", "logarithmic", "log axis",
        "Axes: logarithmic, linear, or logarithmic where curves would hug a linear one", footer=11),
    _view("view.maximise", "maximise", "maximise", "maximise",
        "Give the selected panel the whole screen, or give it back", footer=10),
    _view("view.restore", "back", "restore", "restore",
        "Leave the crosshair, the maximised panel, the overlay, then this screen"),
    _view("view.next", "right", "select(1, 0)", "right",
        "Select the run to the right (narrow terminals: the next panel)"),
    _view("view.previous", "left", "select(-1, 0)", "left", "Select the run to the left"),
    _view("view.down", "down", "select(0, 1)", "down", "Select the panel below"),
    _view("view.up", "up", "select(0, -1)", "up", "Select the panel above"),
    _view("view.panel", "next panel", "select(0, 1)", "panel", "Select the next panel"),
    _view("view.panel_before", "previous panel", "select(0, -1)", "panel before",
        "Select the panel before"),
    _view("view.run", "next run", "run(1)", "run", "Select the next run", footer=15),
    _view("view.run_before", "previous run", "run(-1)", "run before", "Select the run before"),
    _view("view.panel_1", "panel 1", "panel(0)", "how soon",
        "Select: how soon? (arrival at the sink)"),
    _view("view.panel_2", "panel 2", "panel(1)", "how clearly",
        "Select: how clearly? (minimax fidelity)"),
    _view("view.panel_3", "panel 3", "panel(2)", "learned",
        "Select: has it learned? (training loss; a designed graph itself)"),
    # Take away
    _take("take.export", "export", "export", "export",
        "Write the screen as SVG and its numbers as CSV into the experiment's folder",
        screens=("dashboard", "heads", "inspector", "stepper", "sidebyside"), footer=9),
    _take("take.copy", "copy number", "copy", "copy",
        "Copy the selected panel's number to the clipboard (over SSH too)", screens=("dashboard",)),
    _take("take.copy_table", "copy table", "copy_table", "copy table",
        "Copy the table in view to the clipboard, with tabs between its columns (over SSH too)",
        screens=(
            "dashboard", "heads", "inspector", "stepper", "sweep", "picker", "sidebyside",
        )),
    # Heads over training
    _over("heads.measure", "measure", "measure", "measure",
        "Show steps to the sink, mixing time, fidelity, weight or, where it was measured, loss "
        "without the head", footer=4),
    _over("heads.layer", "layer", "layer", "layer", "Heads of the next layer", footer=5),
    _over("heads.run", "next run", "run(1)", "run", "Heads of the next run", footer=6),
    _over("heads.run_before", "previous run", "run(-1)", "run before", "Heads of the run before"),
    _over("heads.inspect", "open", "inspect", "inspect", "Open the run's heads in the inspector",
        footer=7),
    _over("heads.back", "back", "back", "back",
        "Take the crosshair away, then go back to the screen before", footer=3),
    # Inspector
    _heads("inspector.head_down", "down", "head(1)", "head",
        "Select the next head; the first is the mixture of all", footer=4),
    _heads("inspector.head_up", "up", "head(-1)", "head up", "Select the head before"),
    _heads("inspector.token_right", "right", "token(1)", "token",
        "Choose the next token: its arrival and its paths are shown", footer=5),
    _heads("inspector.token_left", "left", "token(-1)", "token before",
        "Choose the token before"),
    _heads("inspector.bottleneck", "weakest", "bottleneck", "faintest",
        "Choose the token that the sink hears least: it sets the minimax fidelity", footer=12),
    _heads("inspector.switch", "on or off", "switch", "head off/on",
        "Switch the selected head off or on; the mixture is measured again", footer=3),
    _heads("inspector.all_on", "reset", "all_on", "all on", "Switch all heads on again"),
    _heads("inspector.sort", "sort", "sort", "sort",
        "Sort heads by index, weight, diversity or fidelity", footer=6),
    _heads("inspector.layer", "layer", "layer", "layer",
        "Next layer; after the last, all layers in order", footer=7),
    _heads("inspector.input", "next input", "input(1)", "input",
        "Next of the inputs that were recorded", footer=8),
    _heads("inspector.input_before", "previous input", "input(-1)", "input before",
        "The input before"),
    _heads("inspector.run", "next run", "run(1)", "run", "Same place in the next run", footer=13),
    _heads("inspector.run_before", "previous run", "run(-1)", "run before",
        "Same place in the run before"),
    _panels("inspector.panel", "next panel", "panel(1)", "panel",
        "Select the next panel (narrow terminals show it)", footer=9),
    _panels("inspector.panel_before", "previous panel", "panel(-1)", "panel before",
        "Select the panel before"),
    _panels("inspector.maximise", "maximise", "maximise", "maximise",
        "Give the selected panel the whole screen, or give it back", footer=10),
    _panels("inspector.restore", "back", "restore", "back",
        "Leave the maximised panel, then this screen"),
    _panels("inspector.scale", "scale", "scale", "shade scale",
        "Shade by square root, logarithm or value", footer=14),
    _panels("inspector.gradient", "colour", "gradient", "gradient",
        "Colour edges by what more attention there would do for the chosen token; again: by head"),
    _panels("inspector.cells", "full size", "cells", "full size",
        "Show every entry around the cursor instead of the whole map"),
    _panels("inspector.query_down", "inner down", "query(1)", "query down",
        "Move the map's cursor to the next query"),
    _panels("inspector.query_up", "inner up", "query(-1)", "query up",
        "Move the map's cursor to the query before"),
    _panels("inspector.more_paths", "more", "paths(1)", "more paths",
        "Show one more of the strongest paths"),
    _panels("inspector.fewer_paths", "less", "paths(-1)", "fewer paths", "Show one fewer"),
    _panels("inspector.stepper", "diffusion", "stepper", "diffuse",
        "Step through the diffusion over these heads", footer=11),
    # Stepper
    _spread("stepper.play", "play or pause", "play", "play/pause",
        "Let the signal spread by itself; again to stop", footer=1),
    _spread("stepper.back", "one step back", "move(-1)", "step", "One diffusion step back",
        footer=3, pair="stepper.forward"),
    _spread("stepper.forward", "one step on", "move(1)", "forward",
        "One diffusion step forward"),
    _spread("stepper.start", "beginning", "start", "start", "Go to step 0"),
    _spread("stepper.end", "end", "end", "end", "Go to the last step"),
    _spread("stepper.best", "best step", "best", "best step",
        "Go to the step at which the sink hears the source best", footer=7),
    _spread("stepper.source", "right", "source(1)", "source",
        "Let the signal start at the next node", footer=5),
    _spread("stepper.source_before", "left", "source(-1)", "source before",
        "Let the signal start at the node before"),
    _spread("stepper.head_down", "down", "head(1)", "head",
        "Select the next head: {stepper.heavier} and {stepper.lighter} change its weight",
        footer=8),
    _spread("stepper.head_up", "up", "head(-1)", "head up", "Select the head before"),
    _spread("stepper.heavier", "more", "weigh(1)", "weight",
        "Give the selected head more weight, the others less in proportion", footer=6,
        pair="stepper.lighter"),
    _spread("stepper.lighter", "less", "weigh(-1)", "weight down",
        "Give the selected head less weight"),
    _spread("stepper.optimal", "best weights", "optimal", "optimal",
        "Take the weights of the greatest minimax fidelity that is found", footer=10),
    _spread("stepper.reset", "reset", "reset", "reset",
        "Back to the run's own weights and to step 0", footer=11),
    _spread("stepper.inspect", "open", "inspect", "inspect",
        "Open the head inspector on these heads", footer=12),
    _spread("stepper.run", "next run", "run(1)", "run", "The same for the next run", footer=13),
    _spread("stepper.run_before", "previous run", "run(-1)", "run before",
        "The same for the run before"),
    _spread("stepper.layer", "layer", "layer", "layer", "Next layer (attention)", footer=14),
    _spread("stepper.input", "next input", "input(1)", "input", "Next input (attention)"),
    _spread("stepper.input_before", "previous input", "input(-1)", "input before",
        "The input before"),
    # Picker
    _picker("picker.close", "back", "back", "back",
        "Undo the filter, then go back to the screen before"),
    _picker("picker.open", "open", "open", "open", "Run the scenario, or open the experiment",
        footer=1),
    _picker("picker.reload", "reload", "reload", "reload",
        "Look for scenarios and experiments again"),
    _picker("picker.down", "down", "cursor(1)", "down", "Next line"),
    _picker("picker.up", "up", "cursor(-1)", "up", "Line before"),
    _picker("picker.page_down", "page down", "cursor(10)", "page down", "Ten lines on"),
    _picker("picker.page_up", "page up", "cursor(-10)", "page up", "Ten lines back"),
    _picker("picker.first", "beginning", "cursor(-1000000)", "first", "First line"),
    _picker("picker.last", "end", "cursor(1000000)", "last", "Last line"),
    _picker("picker.section", "next panel", "section", "section",
        "From the scenarios to the experiments, and back", footer=7),
    _picker("picker.stop", "stop", "change('stop')", "stop",
        "Ask the experiment or sweep to write checkpoints and stop, once confirmed", footer=8),
    _picker("picker.resume", "resume", "change('resume')", "resume",
        "Continue it from its last checkpoints, once confirmed", footer=9),
    _picker("picker.remove", "remove", "change('remove')", "remove",
        "Remove it with everything in it, once confirmed", footer=10),
    # Lists
    _lists("list.filter", "filter", "filter", "filter",
        "Show only what has all the words that are typed; enter keeps it, escape drops it",
        screens=("picker", "sweep"), footer=3),
    _lists("list.filter_runs", "filter", "filter", "filter",
        "Show only runs that have all the words that are typed", screens=("dashboard",)),
    _lists("list.filter_text", "filter", "filter", "filter",
        "Show only what has all the words that are typed; enter keeps it, escape drops it",
        screens=("log", "help"), footer=4),
    _lists("compare.mark", "mark", "mark", "mark",
        "Mark what is selected to be compared, or take the mark off",
        screens=("picker", "sweep"), footer=5),
    _lists("compare.mark_run", "mark", "mark", "mark",
        "Mark the selected run to be compared: all of it or, with the cursor moved, that step",
        screens=("dashboard",)),
    _lists("compare.open", "compare", "compare", "compare",
        "Show the two that are marked side by side; or the one that is marked and the selected one",
        screens=("picker", "sweep"), footer=6),
    _lists("compare.open_runs", "compare", "compare", "compare",
        "Show the two that are marked side by side; or the one that is marked and the selected run",
        screens=("dashboard",)),
    # Side by side
    _beside("beside.run_a", "next run", "run(0)", "A's run", "Show the next run of A", footer=3),
    _beside("beside.run_b", "previous run", "run(1)", "B's run", "Show the next run of B",
        footer=4),
    _beside("beside.next", "next panel", "select(1)", "next", "Select the next question",
        footer=6),
    _beside("beside.previous", "previous panel", "select(-1)", "previous",
        "Select the question before"),
    _beside("beside.panel_1", "panel 1", "panel(0)", "how soon", "Select: how soon?"),
    _beside("beside.panel_2", "panel 2", "panel(1)", "how clearly", "Select: how clearly?"),
    _beside("beside.panel_3", "panel 3", "panel(2)", "learned", "Select: has it learned?"),
    _beside("beside.convention", "measure", "convention", "measure",
        "Show the numbers under the next definition of the mixing time", footer=8),
    _beside("beside.layer", "layer", "layer", "layer", "Show the next layer, or all together",
        footer=9),
    _beside("beside.back", "back", "back", "back",
        "Take the crosshair away, then go back to the screen before", footer=5),
    # Confirming
    _confirm("confirm.yes", "open", "answer(True)", "do it", "Do what is asked", footer=1),
    _confirm("confirm.no", "back", "answer(False)", "leave it", "Leave everything as it is",
        footer=2),
    # Sweep
    _sweep("sweep.open", "open", "open", "open",
        "Show the selected group's points; open the selected point; {sweep.back} comes back",
        footer=1),
    _sweep("sweep.view", "next panel", "view(1)", "table",
        "Groups, points, and the verdicts where they have no place beside them", footer=3),
    _sweep("sweep.view_before", "previous panel", "view(-1)", "table before",
        "The same, backwards"),
    _sweep("sweep.back", "back", "back", "back",
        "Undo the filters, then go back to the groups, then to the screen before", footer=8),
    _sweep("sweep.sort", "sort", "sort", "sort",
        "Sort points as planned, by the last run's value, or by state", footer=5),
    _sweep("sweep.filter", "state", "state", "state",
        "Show only points that run, failed, stopped, finished, or wait; all again", footer=6),
    _sweep("sweep.measure", "measure", "measure", "measure",
        "Show loss, steps to sink, fidelity or amplification", footer=4),
    _sweep("sweep.down", "down", "cursor(1)", "down", "Next line"),
    _sweep("sweep.up", "up", "cursor(-1)", "up", "Line before"),
    _sweep("sweep.page_down", "page down", "cursor(10)", "page down", "Ten lines on"),
    _sweep("sweep.page_up", "page up", "cursor(-10)", "page up", "Ten lines back"),
    _sweep("sweep.first", "beginning", "cursor(-1000000)", "first", "First line"),
    _sweep("sweep.last", "end", "cursor(1000000)", "last", "Last line"),
    _sweep("sweep.right", "right", "columns(1)", "right", "Columns further right"),
    _sweep("sweep.left", "left", "columns(-1)", "left", "Columns further left"),
    _sweep("sweep.stop", "stop", "stop", "stop",
        "Ask the sweep to write checkpoints of every point and stop, once confirmed",
        footer=9),
    # Log and help
    _text("text.down", "down", "scroll(1)", "scroll", "Scroll down", footer=1, pair="text.up"),
    _text("text.up", "up", "scroll(-1)", "up", "Scroll up"),
    _text("text.page_down", "page down", "scroll(15)", "page down", "Fifteen lines down"),
    _text("text.page_up", "page up", "scroll(-15)", "page up", "Fifteen lines up"),
    _text("text.first", "beginning", "scroll(-1000000)", "top", "Scroll to the top"),
    _text("text.last", "end", "scroll(1000000)", "bottom", "Scroll to the bottom"),
    # Everywhere
    _anywhere("app.log", "messages", "app.show_log", "messages",
        "Warnings, errors and what happened when",
        screens=("dashboard", "heads", "inspector", "stepper"), footer=8),
    _anywhere("app.back", "back", "app.back", "back", "Back to the screen before",
        screens=("stepper",), footer=3),
    _anywhere("text.back", "back", "back", "back",
        "Undo the filter, then back to the screen before", screens=("log", "help"), footer=3),
    _anywhere("app.experiments", "open another", "app.picker", "open",
        "Open another scenario or experiment", screens=("dashboard", "sweep")),
    _anywhere("app.theme", "theme", "app.next_theme", "theme",
        "Next theme (also high contrast, and the terminal's own colours)",
        screens=("dashboard", "heads", "inspector", "stepper", "picker", "sweep", "sidebyside")),
    _anywhere("app.help", "help", "app.help", "help",
        "All keys, and how to read the panels", screens=ALL, footer=2),
    _anywhere("app.palette", "commands", "app.command_palette", "commands",
        "All commands, searchable", screens=ALL, footer=16),
    _anywhere("app.suspend", "suspend", "app.suspend_process", "suspend",
        "Put the app in the background of the shell (fg returns)", screens=ALL),
    _anywhere("app.leave", "leave", "app.leave", "leave", "Leave; what runs continues",
        screens=ALL, footer=2),
)  # fmt: skip
"""What each key does where. A screen has at most one row for a meaning."""

BY_ID = {key.id: key for key in TABLE}
_ID = re.compile(r"\{([a-z]+\.\w+)\}")

_SHOWN = {
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "greater_than_sign": ">",
    "less_than_sign": "<",
    "question_mark": "?",
    "escape": "esc",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "slash": "/",
    "full_stop": ".",
    "comma": ",",
    "pageup": "pgup",
    "pagedown": "pgdn",
    "delete": "del",
}
_ARROWS = {"left": "←", "right": "→", "up": "↑", "down": "↓"}


def rows_for(screen: str) -> list[Key]:
    """Every row that works on ``screen``, in the table's order."""
    return [key for key in TABLE if screen in key.screens]


def bindings_for(screen: str) -> list[BindingType]:
    """Textual bindings of a screen, for its ``BINDINGS``."""
    from textual.binding import Binding

    return [
        Binding(key.keys, key.action, key.label, id=key.id, show=key.footer > 0)
        for key in rows_for(screen)
    ]


def footer_for(screen: str) -> list[Key]:
    """Rows shown in the footer of ``screen``, most useful first."""
    return sorted((key for key in rows_for(screen) if key.footer), key=lambda key: key.footer)


def shown(
    key: Key,
    keymap: Mapping[str, str] | None = None,
    *,
    every: bool = False,
    ascii_only: bool = False,
) -> str:
    """How the key (all its alternatives with ``every``) is written, after the user's remapping."""
    names = (keymap or {}).get(key.id, key.keys).split(",")
    return " ".join(spelled(name.strip(), ascii_only) for name in (names if every else names[:1]))


def filled(text: str, keymap: Mapping[str, str], *, ascii_only: bool = False) -> str:
    """``text`` with keys in place of ids: ``{app.log} shows the log`` is ``M shows the log``."""

    def key(found: re.Match[str]) -> str:
        row = BY_ID.get(found[1])  # a name in a log may look like an id
        return shown(row, keymap, ascii_only=ascii_only) if row else found[0]

    return _ID.sub(key, text)


def spelled(name: str, ascii_only: bool = False) -> str:
    """How one key is written; arrows are named in ASCII, where ``>`` is another key."""
    modifiers, plus, single = name.rpartition("+")
    arrow = single if ascii_only else _ARROWS.get(single, single)
    return modifiers + plus + _SHOWN.get(single, arrow)
