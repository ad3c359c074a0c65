"""The README's pictures of the inspector and the stepper: the app, driven by keys on recorded logs.

``python -m tests.pictures FOLDER [EXPERIMENT]`` writes ``stepper.svg`` and, given an experiment of
``scenarios/diverse_heads.toml``, ``inspector.svg``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from pathlib import Path

from synergy_tui.app.inspector.screen import InspectorScreen
from synergy_tui.app.session import Session
from synergy_tui.app.stepper.screen import StepperScreen
from synergy_tui.experiments.experiment import Experiment
from tests.recordings import copy_recording
from tests.tui.app.conftest import pressed, replaying, until


async def draw(
    experiment: Experiment, screen: str, run: str, size: tuple[int, int], keys: str, folder: Path
) -> None:
    """Open a screen on a run, press ``keys`` (separated by blanks), and write what is seen."""
    async with replaying(experiment, size) as pilot:
        app = pilot.app
        session = getattr(app, "session", None)
        assert isinstance(session, Session)
        make = InspectorScreen if screen == "inspector" else StepperScreen
        await app.push_screen(make(session, run))
        await until(lambda: isinstance(app.screen, make), pilot)
        await pressed(pilot)  # until there is something to press keys for
        await pressed(pilot, *keys.split())
        (folder / f"{screen}.svg").write_text(app.export_screenshot(title="Synergy"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("experiment", type=Path, nargs="?")
    given = parser.parse_args()
    os.environ.pop("NO_COLOR", None)
    os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with tempfile.TemporaryDirectory() as folder:
        example2 = Experiment(copy_recording("example2", Path(folder)))
        keys = "right_square_bracket right_square_bracket"
        asyncio.run(draw(example2, "stepper", "both", (100, 30), keys, given.folder))
    if given.experiment is not None:
        keys = "down down down x"
        experiment = Experiment(given.experiment)
        asyncio.run(draw(experiment, "inspector", "multi-head", (160, 48), keys, given.folder))


if __name__ == "__main__":
    main()
