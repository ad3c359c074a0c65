"""Stop, resume and remove from the app: refused in words, or confirmed, then done in a thread."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual.screen import Screen

from synergy_tui.app.screens.confirm import ConfirmScreen
from synergy_tui.errors import UserError
from synergy_tui.experiments.experiment import Experiment
from synergy_tui.sweep.directory import Sweep
from synergy_tui.sweep.entries import Entry, contents, remove, require_removable

STARTING_SECONDS = 5.0
"""How long a worker is waited for until it has taken charge."""
_WORDS = {"stop": "Stopping", "resume": "Continuing", "remove": "Removing"}


def begin(screen: Screen[None], what: str, entry: Entry, done: Callable[[], object]) -> None:
    """Ask on ``screen`` whether to ``stop``, ``resume`` or ``remove``, do it, and call ``done``."""

    def work() -> None:
        try:
            question, consequences = _QUESTIONS[what](entry)
        except UserError as error:
            screen.app.call_from_thread(refuse, error)
            return
        screen.app.call_from_thread(
            screen.app.push_screen, ConfirmScreen(question, consequences), answered
        )

    def answered(yes: bool | None) -> None:
        if yes:
            screen.notify(f"{_WORDS[what]} {entry.id} …", timeout=4)
            screen.run_worker(act, thread=True, exit_on_error=False, group="change")

    def act() -> None:
        try:
            _ACTIONS[what](entry)
        except UserError as error:
            screen.app.call_from_thread(refuse, error)
        screen.app.call_from_thread(done)

    def refuse(error: UserError) -> None:
        screen.notify(f"{error.message} {error.hint or ''}".strip(), severity="warning", timeout=8)

    screen.run_worker(work, thread=True, exit_on_error=False, group="change")


def _ask_stop(entry: Entry) -> tuple[str, str]:
    if isinstance(entry, Experiment):
        entry.require_ours()
    if entry.state() != "running":
        raise UserError(f"{entry.id} is not running (it is {entry.state()}).")
    return f"Stop {entry.id}?", (
        "Every run writes a checkpoint first, from which it can be continued: nothing is lost."
    )


def _ask_resume(entry: Entry) -> tuple[str, str]:
    if isinstance(entry, Experiment):
        entry.require_ours()
    entry.require_sound()
    state = entry.state()
    if state in ("running", "finished"):
        raise UserError(f"{entry.id} is {state}: there is nothing to continue.")
    return f"Continue {entry.id}?", (
        "It continues from its last checkpoints; steps that were made after them are made again."
    )


def _ask_remove(entry: Entry) -> tuple[str, str]:
    require_removable(entry)
    return f"Remove {entry.id}?", (
        f"Nothing brings back what is lost with it: {contents(entry)}.\n\n{entry.path}"
    )


def _stop(entry: Entry) -> None:
    if isinstance(entry, Experiment):
        from synergy_tui.running import worker

        worker.stop(entry)
    else:
        from synergy_tui.sweep import worker as driver

        driver.stop(entry, wait=60.0)


def _resume(entry: Entry) -> None:
    if isinstance(entry, Experiment):
        from synergy_tui.running import worker

        entry.scenario()  # raises before anything starts where the file is damaged
        worker.launch(entry)
    else:
        _resume_sweep(entry)
    deadline = time.monotonic() + STARTING_SECONDS
    while entry.state() != "running" and time.monotonic() < deadline:
        time.sleep(0.1)


def _resume_sweep(sweep: Sweep) -> None:
    from synergy_tui.sweep import worker as driver
    from synergy_tui.sweep.start import plan_rest

    plan = plan_rest(sweep)
    if plan is not None:
        driver.launch(sweep, plan.backend)


_QUESTIONS = {"stop": _ask_stop, "resume": _ask_resume, "remove": _ask_remove}
_ACTIONS = {"stop": _stop, "resume": _resume, "remove": remove}
