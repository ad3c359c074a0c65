"""What each key means, on every screen."""

from __future__ import annotations

ALPHABET: dict[str, str] = {
    # Go
    "open": "enter",
    "back": "escape",
    "up": "up,k",
    "down": "down,j",
    "left": "left,h",
    "right": "right,l",
    "page up": "pageup",
    "page down": "pagedown",
    "beginning": "home,g",
    "end": "end,G",
    "next panel": "tab",
    "previous panel": "shift+tab",
    "panel 1": "1",
    "panel 2": "2",
    "panel 3": "3",
    "next run": "n",
    "previous run": "N",
    # Inside a panel: the crosshair, the map's cursor
    "inner up": "shift+up,K",
    "inner down": "shift+down,J",
    "inner left": "shift+left,H",
    "inner right": "shift+right,L",
    # Time
    "play or pause": "space,p",
    "one step back": "left_square_bracket,comma",
    "one step on": "right_square_bracket,full_stop",
    "jump back": "left_curly_bracket",
    "jump on": "right_curly_bracket",
    "faster": "greater_than_sign",
    "slower": "less_than_sign",
    # Which numbers
    "measure": "m",
    "layer": "v",
    "next input": "i",
    "previous input": "I",
    "sort": "s",
    "filter": "slash",  # by what is typed
    "state": "f",  # only what runs, failed, ...
    # How they are drawn
    "more": "plus,equals_sign",  # zoom in, more weight, more paths
    "less": "minus",
    "reset": "0",  # what more and less, or on and off, have changed
    "maximise": "z",
    "full size": "Z",
    "overlay": "O",
    "scale": "a",  # of axes and shades
    "average": "A",  # how curves are smoothed
    "window": "W",  # how much of the past is shown
    "crosshair": "X",
    "colour": "C",
    "theme": "T",
    # Take away
    "copy number": "y",
    "copy table": "Y",
    "export": "e",
    # Heads
    "on or off": "x",
    "weakest": "w",
    "best step": "b",
    "best weights": "B",
    "diffusion": "d",
    "every head": "E",
    # Experiments
    "open another": "o",
    "mark": "t",
    "compare": "c",
    "reload": "r,f5",
    "stop": "S",
    "resume": "R",
    "remove": "D,delete",
    # Everywhere
    "messages": "M",
    "help": "question_mark,f1",
    "commands": "ctrl+p",
    "suspend": "ctrl+z",
    "leave": "q,ctrl+c",
}
"""Keys (Textual's names, separated by commas; the first is shown) by what they mean."""
