"""The one table of keys: dispatch, footer, help screen and command palette are made from it.

A user remaps keys by their ids, in ``keys.toml`` in the platform's configuration folder::

    "time.pause" = "p,space"
    "view.overlay" = "o"
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synergy_tui.errors import UserError

if TYPE_CHECKING:
    from textual.binding import BindingType

ALL = ("dashboard", "inspector", "stepper", "picker", "log", "help", "sweep")


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


_TIMED = ("dashboard", "inspector")

TABLE: tuple[Key, ...] = (
    # Time
    Key("time.pause", "space", "toggle_pause", "pause",
        "Freeze what is shown; the log keeps growing. Again: follow the newest step",
        "Time", _TIMED, 1),
    Key("time.back", "left_square_bracket", "step(-1)", "step",
        "Go to the probe before", "Time", _TIMED, 4, "time.forward"),
    Key("time.forward", "right_square_bracket", "step(1)", "forward",
        "Go to the next probe", "Time", _TIMED),
    Key("time.jump_back", "left_curly_bracket", "jump(-1)", "jump back",
        "Go back a tenth of the run", "Time", _TIMED),
    Key("time.jump_forward", "right_curly_bracket", "jump(1)", "jump on",
        "Go forward a tenth of the run", "Time", _TIMED),
    Key("time.first", "home", "first", "first", "Go to the first probe", "Time", _TIMED),
    Key("time.follow", "end", "follow", "follow",
        "Follow the newest step", "Time", _TIMED),
    Key("time.play", "p", "toggle_play", "play",
        "Play the recording from the cursor; again to stop", "Time", _TIMED, 12),
    Key("time.faster", "greater_than_sign", "speed(1)", "faster",
        "Play twice as fast", "Time", _TIMED),
    Key("time.slower", "less_than_sign", "speed(-1)", "slower",
        "Play half as fast", "Time", _TIMED),
    # View
    Key("view.inspect", "enter", "inspect", "inspect",
        "Open the selected run's heads (a designed graph: the diffusion stepper)",
        "View", ("dashboard",), 3),
    Key("view.stepper", "d", "stepper", "diffuse",
        "Step through the diffusion of the selected run", "View", ("dashboard",), 14),
    Key("view.convention", "c", "convention", "convention",
        "Show the numbers under the next definition of the mixing time", "View", ("dashboard",), 6),
    Key("view.layer", "v", "layer", "layer",
        "Show the next layer, or all layers together", "View", ("dashboard",), 13),
    Key("view.overlay", "y", "overlay", "overlay",
        "Put all runs into one chart, or back into columns", "View", ("dashboard",), 7),
    Key("view.logarithmic", "g", "logarithmic", "log axis",
        "Axes of fidelity and loss: logarithmic, linear, or as the numbers need",
        "View", ("dashboard",), 11),
    Key("view.maximise", "m,z", "maximise", "maximise",
        "Give the selected panel the whole screen, or give it back", "View", ("dashboard",), 10),
    Key("view.restore", "escape", "restore", "restore",
        "Leave the maximised panel or the overlay", "View", ("dashboard",)),
    Key("view.next", "tab,right", "select(1, 0)", "next",
        "Select the next run (narrow terminals: the next panel)", "View", ("dashboard",)),
    Key("view.previous", "shift+tab,left", "select(-1, 0)", "previous",
        "Select the run before", "View", ("dashboard",)),
    Key("view.down", "down,j", "select(0, 1)", "down",
        "Select the panel below", "View", ("dashboard",)),
    Key("view.up", "up,k", "select(0, -1)", "up",
        "Select the panel above", "View", ("dashboard",)),
    Key("view.panel_1", "1", "panel(0)", "how soon",
        "Select: how soon? (arrival at the sink)", "View", ("dashboard",)),
    Key("view.panel_2", "2", "panel(1)", "how clearly",
        "Select: how clearly? (minimax fidelity)", "View", ("dashboard",)),
    Key("view.panel_3", "3", "panel(2)", "learned",
        "Select: has it learned? (training loss)", "View", ("dashboard",)),
    # Take away
    Key("take.export", "e", "export", "export",
        "Write the screen as SVG and its numbers as CSV into the experiment's folder",
        "Take away", ("dashboard", "inspector", "stepper"), 9),
    Key("take.copy", "w", "copy", "copy",
        "Copy the selected panel's number to the clipboard (over SSH too)",
        "Take away", ("dashboard",)),
    Key("take.copy_verdict", "W", "copy_verdict", "copy verdict",
        "Copy the verdict to the clipboard (over SSH too)", "Take away", ("dashboard",)),
    # Inspector
    Key("inspector.head_down", "down,j", "head(1)", "head",
        "Select the next head; the first is the mixture of all", "Heads", ("inspector",), 4),
    Key("inspector.head_up", "up,k", "head(-1)", "head up",
        "Select the head before", "Heads", ("inspector",)),
    Key("inspector.token_right", "right", "token(1)", "token",
        "Choose the next token: its arrival and its paths are shown", "Heads", ("inspector",), 5),
    Key("inspector.token_left", "left,h", "token(-1)", "token before",
        "Choose the token before", "Heads", ("inspector",)),
    Key("inspector.bottleneck", "b", "bottleneck", "bottleneck",
        "Choose the token that the sink hears least: it sets the minimax fidelity",
        "Heads", ("inspector",), 12),
    Key("inspector.switch", "x", "switch", "head off/on",
        "Switch the selected head off or on; the mixture is measured again", "Heads",
        ("inspector",), 3),
    Key("inspector.all_on", "X", "all_on", "all on",
        "Switch all heads on again", "Heads", ("inspector",)),
    Key("inspector.sort", "s", "sort", "sort",
        "Sort heads by index, weight, diversity or fidelity", "Heads", ("inspector",), 6),
    Key("inspector.layer", "v", "layer", "layer", "Next layer", "Heads", ("inspector",), 7),
    Key("inspector.input", "i", "input(1)", "input",
        "Next of the inputs that were recorded", "Heads", ("inspector",), 8),
    Key("inspector.input_before", "I", "input(-1)", "input before",
        "The input before", "Heads", ("inspector",)),
    Key("inspector.run", "r", "run", "run", "Same place in the next run", "Heads",
        ("inspector",), 13),
    Key("inspector.panel", "tab", "panel(1)", "panel",
        "Select the next panel (narrow terminals show it)", "View", ("inspector",), 9),
    Key("inspector.panel_before", "shift+tab", "panel(-1)", "panel before",
        "Select the panel before", "View", ("inspector",)),
    Key("inspector.maximise", "m,z", "maximise", "maximise",
        "Give the selected panel the whole screen, or give it back", "View",
        ("inspector",), 10),
    Key("inspector.scale", "g", "scale", "shade scale",
        "Shade by square root, logarithm or value", "View", ("inspector",), 14),
    Key("inspector.cells", "f", "cells", "full size",
        "Show every entry around the cursor instead of the whole map", "View", ("inspector",)),
    Key("inspector.query_down", "shift+down", "query(1)", "query down",
        "Move the map's cursor to the next query", "View", ("inspector",)),
    Key("inspector.query_up", "shift+up", "query(-1)", "query up",
        "Move the map's cursor to the query before", "View", ("inspector",)),
    Key("inspector.more_paths", "plus,equals_sign", "paths(1)", "more paths",
        "Show one more of the strongest paths", "View", ("inspector",)),
    Key("inspector.fewer_paths", "minus", "paths(-1)", "fewer paths",
        "Show one fewer", "View", ("inspector",)),
    Key("inspector.stepper", "d", "stepper", "diffuse",
        "Step through the diffusion over these heads", "View", ("inspector",), 11),
    # Stepper
    Key("stepper.forward", "right,right_square_bracket,full_stop", "move(1)", "step",
        "One diffusion step forward", "Diffusion", ("stepper",), 1),
    Key("stepper.back", "left,left_square_bracket,comma", "move(-1)", "back",
        "One diffusion step back", "Diffusion", ("stepper",), 4),
    Key("stepper.play", "space,p", "play", "play",
        "Let the signal spread by itself; again to stop", "Diffusion", ("stepper",), 3),
    Key("stepper.start", "home,0", "start", "start", "Back to step 0", "Diffusion", ("stepper",)),
    Key("stepper.best", "b,end", "best", "best step",
        "Jump to the step at which the sink hears the source best", "Diffusion", ("stepper",), 7),
    Key("stepper.source", "s,tab", "source(1)", "source",
        "Let the signal start at the next node", "Diffusion", ("stepper",), 5),
    Key("stepper.source_before", "S,shift+tab", "source(-1)", "source before",
        "Let the signal start at the node before", "Diffusion", ("stepper",)),
    Key("stepper.head_down", "down,j", "head(1)", "head",
        "Select the next head: the keys + and - change its weight", "Diffusion", ("stepper",), 8),
    Key("stepper.head_up", "up,k", "head(-1)", "head up",
        "Select the head before", "Diffusion", ("stepper",)),
    Key("stepper.heavier", "plus,equals_sign", "weigh(1)", "weight up",
        "Give the selected head more weight, the others less in proportion",
        "Diffusion", ("stepper",), 6),
    Key("stepper.lighter", "minus", "weigh(-1)", "weight down",
        "Give the selected head less weight", "Diffusion", ("stepper",), 9),
    Key("stepper.optimal", "o", "optimal", "optimal",
        "Take the weights of the greatest minimax fidelity that is found", "Diffusion",
        ("stepper",), 10),
    Key("stepper.reset", "r", "reset", "reset",
        "Back to the run's own weights and to step 0", "Diffusion", ("stepper",), 11),
    Key("stepper.inspect", "enter", "inspect", "inspect",
        "Open the head inspector on these heads", "Diffusion", ("stepper",), 12),
    Key("stepper.run", "n", "run", "run", "The same for the next run", "Diffusion",
        ("stepper",), 13),
    Key("stepper.layer", "v", "layer", "layer", "Next layer (attention)", "Diffusion",
        ("stepper",), 14),
    Key("stepper.input", "i", "input", "input", "Next input (attention)", "Diffusion",
        ("stepper",)),
    # Picker
    Key("picker.close", "escape", "app.back", "back",
        "Back to the dashboard", "Picker", ("picker",)),
    Key("picker.open", "enter", "open", "open",
        "Run the scenario, or open the experiment", "Picker", ("picker",), 1),
    Key("picker.reload", "r", "reload", "reload",
        "Look for scenarios and experiments again", "Picker", ("picker",), 4),
    Key("picker.down", "j", "cursor_down", "down", "Next line", "Picker", ("picker",)),
    Key("picker.up", "k", "cursor_up", "up", "Line before", "Picker", ("picker",)),
    # Sweep
    Key("sweep.open", "enter", "open", "open",
        "Open the selected point's dashboard; escape comes back", "Sweep", ("sweep",), 1),
    Key("sweep.measure", "m", "measure", "measure",
        "Show loss, steps to sink, fidelity or amplification in the cells", "Sweep",
        ("sweep",), 4),
    Key("sweep.down", "down,j", "cursor(1)", "down", "Next point", "Sweep", ("sweep",)),
    Key("sweep.up", "up,k", "cursor(-1)", "up", "Point before", "Sweep", ("sweep",)),
    Key("sweep.page_down", "pagedown", "cursor(10)", "page down", "Ten points on", "Sweep",
        ("sweep",)),
    Key("sweep.page_up", "pageup", "cursor(-10)", "page up", "Ten points back", "Sweep",
        ("sweep",)),
    Key("sweep.right", "right,l", "columns(1)", "right", "Columns further right", "Sweep",
        ("sweep",)),
    Key("sweep.left", "left,h", "columns(-1)", "left", "Columns further left", "Sweep",
        ("sweep",)),
    Key("sweep.stop", "S", "stop", "stop",
        "Ask the sweep to checkpoint every point and stop", "Sweep", ("sweep",), 9),
    # Everywhere
    Key("app.log", "l", "app.show_log", "log",
        "Warnings, errors and what happened when", "Everywhere",
        ("dashboard", "inspector", "stepper"), 8),
    Key("app.back", "escape", "app.back", "back", "Back to the screen before", "Everywhere",
        ("inspector", "stepper", "log", "help", "sweep"), 3),
    Key("app.experiments", "o", "app.picker", "open",
        "Open another scenario or experiment", "Everywhere", ("dashboard",)),
    Key("app.theme", "t", "app.next_theme", "theme",
        "Next theme (also high contrast, and the terminal's own colours)", "Everywhere",
        ("dashboard", "inspector", "stepper", "picker")),
    Key("app.help", "question_mark,f1", "app.help", "help",
        "All keys, and how to read the panels", "Everywhere", ALL, 2),
    Key("app.palette", "ctrl+p", "app.command_palette", "commands",
        "All commands, searchable", "Everywhere", ALL, 15),
    Key("app.suspend", "ctrl+z", "app.suspend_process", "suspend",
        "Put the app in the background of the shell (fg returns)", "Everywhere", ALL),
    Key("app.leave", "q,ctrl+c", "app.leave", "leave",
        "Leave; what runs continues", "Everywhere", ALL, 2),
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
    """Where the user's keys are looked for."""
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
