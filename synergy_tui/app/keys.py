"""The one table of keys: dispatch, footer, help screen and command palette are made from it.

A user remaps keys by their ids, in ``keys.toml`` in the platform's configuration folder::

    "time.pause" = "p,space"
    "view.overlay" = "o"
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from synergy_tui.errors import UserError

if TYPE_CHECKING:
    from textual.binding import BindingType

ALL = ("dashboard", "heads", "inspector", "stepper", "picker", "log", "help", "sweep")


@dataclass(frozen=True, slots=True)
class Key:
    """One row of the table."""

    id: str  # what a user's keys.toml names it
    keys: str  # Textual's names, separated by commas; the first is shown
    action: str  # of the screen, or app.… for the app
    label: str  # one or two words, for the footer
    help: str  # a sentence, for the help screen and the command palette
    group: str  # heading on the help screen
    screens: tuple[str, ...]  # where it works
    footer: int = 0  # place: small numbers survive in narrow terminals; 0 keeps it out
    pair: str = ""  # id of the key that undoes it, named with it in the footer


def _for(group: str, *screens: str) -> Callable[..., Key]:
    return partial(Key, group=group, screens=screens)


_time = _for("Time", "dashboard", "heads", "inspector")
_view = _for("View", "dashboard")
_take = partial(Key, group="Take away")
_curves = _for("View", "heads")
_heads = _for("Heads", "inspector")
_panels = _for("View", "inspector")
_spread = _for("Diffusion", "stepper")
_picker = _for("Picker", "picker")
_sweep = _for("Sweep", "sweep")
_anywhere = partial(Key, group="Everywhere")

TABLE: tuple[Key, ...] = (
    # Time
    _time("time.pause", "space", "toggle_pause", "pause",
        "Freeze what is shown; the log keeps growing. Again: follow the newest step", footer=1),
    _time("time.back", "left_square_bracket", "step(-1)", "step", "Go to the probe before",
        footer=4, pair="time.forward"),
    _time("time.forward", "right_square_bracket", "step(1)", "forward", "Go to the next probe"),
    _time("time.jump_back", "left_curly_bracket", "jump(-1)", "jump back",
        "Go back a tenth of the run"),
    _time("time.jump_forward", "right_curly_bracket", "jump(1)", "jump on",
        "Go forward a tenth of the run"),
    _time("time.first", "home", "first", "first", "Go to the first probe"),
    _time("time.follow", "end", "follow", "follow", "Follow the newest step"),
    _time("time.play", "p", "toggle_play", "play",
        "Play the recording from the cursor; again to stop", footer=12),
    _time("time.faster", "greater_than_sign", "speed(1)", "faster", "Play twice as fast"),
    _time("time.slower", "less_than_sign", "speed(-1)", "slower", "Play half as fast"),
    # View
    _view("view.inspect", "enter", "inspect", "inspect",
        "Open the selected run's heads (a designed graph: the diffusion stepper)", footer=3),
    _view("view.stepper", "d", "stepper", "diffuse",
        "Step through the diffusion of the selected run", footer=14),
    _view("view.heads", "h", "heads", "heads",
        "Every head of the selected run over its training, measure by measure", footer=16),
    _view("view.convention", "c", "convention", "convention",
        "Show the numbers under the next definition of the mixing time", footer=6),
    _view("view.layer", "v", "layer", "layer", "Show the next layer, or all layers together",
        footer=13),
    _view("view.overlay", "y", "overlay", "overlay",
        "Put all runs into one chart, or back into columns", footer=7),
    _view("view.logarithmic", "g", "logarithmic", "log axis",
        "Axes of fidelity and loss: logarithmic, linear, or as the numbers need", footer=11),
    _view("view.maximise", "m,z", "maximise", "maximise",
        "Give the selected panel the whole screen, or give it back", footer=10),
    _view("view.restore", "escape", "restore", "restore",
        "Leave the maximised panel or the overlay"),
    _view("view.next", "tab,right", "select(1, 0)", "next",
        "Select the next run (narrow terminals: the next panel)"),
    _view("view.previous", "shift+tab,left", "select(-1, 0)", "previous", "Select the run before"),
    _view("view.down", "down,j", "select(0, 1)", "down", "Select the panel below"),
    _view("view.up", "up,k", "select(0, -1)", "up", "Select the panel above"),
    _view("view.panel_1", "1", "panel(0)", "how soon", "Select: how soon? (arrival at the sink)"),
    _view("view.panel_2", "2", "panel(1)", "how clearly",
        "Select: how clearly? (minimax fidelity)"),
    _view("view.panel_3", "3", "panel(2)", "learned", "Select: has it learned? (training loss)"),
    # Heads over training
    _curves("curves.layer", "v", "layer", "layer", "Heads of the next layer", footer=5),
    _curves("curves.run", "r", "run", "run", "Heads of the next run", footer=6),
    # Take away
    _take("take.export", "e", "export", "export",
        "Write the screen as SVG and its numbers as CSV into the experiment's folder",
        screens=("dashboard", "inspector", "stepper"), footer=9),
    _take("take.copy", "w", "copy", "copy",
        "Copy the selected panel's number to the clipboard (over SSH too)", screens=("dashboard",)),
    _take("take.copy_verdict", "W", "copy_verdict", "copy verdict",
        "Copy the verdict to the clipboard (over SSH too)", screens=("dashboard",)),
    # Inspector
    _heads("inspector.head_down", "down,j", "head(1)", "head",
        "Select the next head; the first is the mixture of all", footer=4),
    _heads("inspector.head_up", "up,k", "head(-1)", "head up", "Select the head before"),
    _heads("inspector.token_right", "right", "token(1)", "token",
        "Choose the next token: its arrival and its paths are shown", footer=5),
    _heads("inspector.token_left", "left,h", "token(-1)", "token before",
        "Choose the token before"),
    _heads("inspector.bottleneck", "b", "bottleneck", "bottleneck",
        "Choose the token that the sink hears least: it sets the minimax fidelity", footer=12),
    _heads("inspector.switch", "x", "switch", "head off/on",
        "Switch the selected head off or on; the mixture is measured again", footer=3),
    _heads("inspector.all_on", "X", "all_on", "all on", "Switch all heads on again"),
    _heads("inspector.sort", "s", "sort", "sort",
        "Sort heads by index, weight, diversity or fidelity", footer=6),
    _heads("inspector.layer", "v", "layer", "layer",
        "Next layer; after the last, all layers in order", footer=7),
    _heads("inspector.input", "i", "input(1)", "input", "Next of the inputs that were recorded",
        footer=8),
    _heads("inspector.input_before", "I", "input(-1)", "input before", "The input before"),
    _heads("inspector.run", "r", "run", "run", "Same place in the next run", footer=13),
    _panels("inspector.panel", "tab", "panel(1)", "panel",
        "Select the next panel (narrow terminals show it)", footer=9),
    _panels("inspector.panel_before", "shift+tab", "panel(-1)", "panel before",
        "Select the panel before"),
    _panels("inspector.maximise", "m,z", "maximise", "maximise",
        "Give the selected panel the whole screen, or give it back", footer=10),
    _panels("inspector.scale", "g", "scale", "shade scale",
        "Shade by square root, logarithm or value", footer=14),
    _panels("inspector.gradient", "G", "gradient", "gradient",
        "Colour edges by what more attention there would do for the chosen token; again: by head"),
    _panels("inspector.cells", "f", "cells", "full size",
        "Show every entry around the cursor instead of the whole map"),
    _panels("inspector.query_down", "shift+down", "query(1)", "query down",
        "Move the map's cursor to the next query"),
    _panels("inspector.query_up", "shift+up", "query(-1)", "query up",
        "Move the map's cursor to the query before"),
    _panels("inspector.more_paths", "plus,equals_sign", "paths(1)", "more paths",
        "Show one more of the strongest paths"),
    _panels("inspector.fewer_paths", "minus", "paths(-1)", "fewer paths", "Show one fewer"),
    _panels("inspector.stepper", "d", "stepper", "diffuse",
        "Step through the diffusion over these heads", footer=11),
    # Stepper
    _spread("stepper.forward", "right,right_square_bracket,full_stop", "move(1)", "step",
        "One diffusion step forward", footer=1),
    _spread("stepper.back", "left,left_square_bracket,comma", "move(-1)", "back",
        "One diffusion step back", footer=4),
    _spread("stepper.play", "space,p", "play", "play",
        "Let the signal spread by itself; again to stop", footer=3),
    _spread("stepper.start", "home,0", "start", "start", "Back to step 0"),
    _spread("stepper.best", "b,end", "best", "best step",
        "Jump to the step at which the sink hears the source best", footer=7),
    _spread("stepper.source", "s,tab", "source(1)", "source",
        "Let the signal start at the next node", footer=5),
    _spread("stepper.source_before", "S,shift+tab", "source(-1)", "source before",
        "Let the signal start at the node before"),
    _spread("stepper.head_down", "down,j", "head(1)", "head",
        "Select the next head: the keys + and - change its weight", footer=8),
    _spread("stepper.head_up", "up,k", "head(-1)", "head up", "Select the head before"),
    _spread("stepper.heavier", "plus,equals_sign", "weigh(1)", "weight up",
        "Give the selected head more weight, the others less in proportion", footer=6),
    _spread("stepper.lighter", "minus", "weigh(-1)", "weight down",
        "Give the selected head less weight", footer=9),
    _spread("stepper.optimal", "o", "optimal", "optimal",
        "Take the weights of the greatest minimax fidelity that is found", footer=10),
    _spread("stepper.reset", "r", "reset", "reset", "Back to the run's own weights and to step 0",
        footer=11),
    _spread("stepper.inspect", "enter", "inspect", "inspect",
        "Open the head inspector on these heads", footer=12),
    _spread("stepper.run", "n", "run", "run", "The same for the next run", footer=13),
    _spread("stepper.layer", "v", "layer", "layer", "Next layer (attention)", footer=14),
    _spread("stepper.input", "i", "input", "input", "Next input (attention)"),
    # Picker
    _picker("picker.close", "escape", "app.back", "back", "Back to the dashboard"),
    _picker("picker.open", "enter", "open", "open", "Run the scenario, or open the experiment",
        footer=1),
    _picker("picker.reload", "r", "reload", "reload", "Look for scenarios and experiments again",
        footer=4),
    _picker("picker.down", "j", "cursor_down", "down", "Next line"),
    _picker("picker.up", "k", "cursor_up", "up", "Line before"),
    # Sweep
    _sweep("sweep.open", "enter", "open", "open",
        "Show the selected group's points; open the selected point; escape comes back", footer=1),
    _sweep("sweep.view", "tab", "view(1)", "table",
        "Groups, points, and the verdicts where they have no place beside them", footer=3),
    _sweep("sweep.view_before", "shift+tab", "view(-1)", "table before", "The same, backwards"),
    _sweep("sweep.back", "escape", "back", "back",
        "Undo the filters, then go back to the groups, then to the screen before", footer=8),
    _sweep("sweep.sort", "s", "sort", "sort",
        "Sort points as planned, by the last run's value, or by state", footer=5),
    _sweep("sweep.filter", "f", "filter", "filter",
        "Show only points that run, failed, stopped, finished, or wait; all again", footer=6),
    _sweep("sweep.measure", "m", "measure", "measure",
        "Show loss, steps to sink, fidelity or amplification", footer=4),
    _sweep("sweep.down", "down,j", "cursor(1)", "down", "Next line"),
    _sweep("sweep.up", "up,k", "cursor(-1)", "up", "Line before"),
    _sweep("sweep.page_down", "pagedown", "cursor(10)", "page down", "Ten lines on"),
    _sweep("sweep.page_up", "pageup", "cursor(-10)", "page up", "Ten lines back"),
    _sweep("sweep.right", "right,l", "columns(1)", "right", "Columns further right"),
    _sweep("sweep.left", "left,h", "columns(-1)", "left", "Columns further left"),
    _sweep("sweep.stop", "S", "stop", "stop", "Ask the sweep to checkpoint every point and stop",
        footer=9),
    # Everywhere
    _anywhere("app.log", "l", "app.show_log", "log", "Warnings, errors and what happened when",
        screens=("dashboard", "heads", "inspector", "stepper"), footer=8),
    _anywhere("app.back", "escape", "app.back", "back", "Back to the screen before",
        screens=("heads", "inspector", "stepper", "log", "help"), footer=3),
    _anywhere("app.experiments", "o", "app.picker", "open", "Open another scenario or experiment",
        screens=("dashboard", "sweep")),
    _anywhere("app.theme", "t", "app.next_theme", "theme",
        "Next theme (also high contrast, and the terminal's own colours)",
        screens=("dashboard", "heads", "inspector", "stepper", "picker", "sweep")),
    _anywhere("app.help", "question_mark,f1", "app.help", "help",
        "All keys, and how to read the panels", screens=ALL, footer=2),
    _anywhere("app.palette", "ctrl+p", "app.command_palette", "commands",
        "All commands, searchable", screens=ALL, footer=15),
    _anywhere("app.suspend", "ctrl+z", "app.suspend_process", "suspend",
        "Put the app in the background of the shell (fg returns)", screens=ALL),
    _anywhere("app.leave", "q,ctrl+c", "app.leave", "leave", "Leave; what runs continues",
        screens=ALL, footer=2),
)  # fmt: skip

_SHOWN = {
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "greater_than_sign": ">",
    "less_than_sign": "<",
    "question_mark": "?",
    "escape": "esc",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "slash": "/",
    "full_stop": ".",
    "comma": ",",
}


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


def shown(key: Key, keymap: Mapping[str, str] | None = None, *, every: bool = False) -> str:
    """How the key (all its alternatives with ``every``) is written, after the user's remapping."""
    names = (keymap or {}).get(key.id, key.keys).split(",")
    names = names if every else names[:1]
    return " ".join(_SHOWN.get(name.strip(), name.strip()) for name in names)


def keymap_path() -> Path:
    """Where the user's keys may be."""
    from platformdirs import user_config_path

    return user_config_path("synergy") / "keys.toml"


def load_keymap(path: Path | None = None, table: Iterable[Key] = TABLE) -> dict[str, str]:
    """Read the user's remapping (id → keys, separated by commas); empty when there is no file.

    All mistakes are reported in one UserError.
    """
    path = keymap_path() if path is None else path
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    try:
        entries = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not TOML: {error}") from error
    # Imported here: its package brings pydantic, which the first frame need not wait for.
    from synergy_tui.errors import did_you_mean

    known = {key.id: key for key in table}
    problems = []
    for name, value in entries.items():
        if name not in known:
            problems.append(f"{path}: there is no key '{name}'{did_you_mean(name, known)}")
        elif not isinstance(value, str) or not value.strip():
            problems.append(f"{path}: '{name}' needs text such as \"ctrl+k\", not {value!r}")
    if problems:
        raise UserError(
            "\n".join(problems),
            hint='Quote the ids: "time.pause" = "p". The help screen (?) lists them.',
        )
    return {
        name: ",".join(part.strip() for part in value.split(",")) for name, value in entries.items()
    }
