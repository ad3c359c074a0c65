"""The real app in a real terminal: tmux where there is one, a pseudo-terminal everywhere."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from synergy_tui.app import terminal
from synergy_tui.errors import UserError
from synergy_tui.experiments.experiment import Experiment
from tests.places import ROOT
from tests.tui.app import synthetic
from tests.tui.app.terminal import Terminal

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Path]:
    """An experiment whose worker (this process) lives."""
    folder = synthetic.write(synthetic.trained(upto=100), tmp_path / "2026-11-23-live")
    with Experiment(folder).lock():
        yield folder


class Tmux:
    """A tmux server of its own with one window."""

    def __init__(self, size: tuple[int, int], command: str) -> None:
        # As in shells that export their size: the app must follow the terminal all the same.
        command = f"export COLUMNS={size[0]} LINES={size[1]}; {command}"
        self.socket = f"synergy-{uuid.uuid4().hex[:8]}"
        self.run(
            "new-session", "-d", "-x", str(size[0]), "-y", str(size[1]),
            f"{command}; echo left with $?; exec cat",
        )  # fmt: skip

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self.socket, "-f", os.devnull, *arguments],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    def screen(self) -> str:
        return self.run("capture-pane", "-p")

    def wait_for(self, text: str, tries: int = 300) -> str:
        for _ in range(tries):
            screen = self.screen()
            if text in screen:
                return screen
            # Asking without a pause would keep tmux from passing a resize on to the pane.
            time.sleep(0.1)
        raise AssertionError(f"{text!r} never came:\n{self.screen()}")

    def close(self) -> None:
        subprocess.run(["tmux", "-L", self.socket, "kill-server"], capture_output=True, check=False)


def command(folder: Path) -> str:
    code = (
        "import sys; from synergy_tui.app.app import open_app; "
        "from synergy_tui.experiments.experiment import Experiment; "
        "sys.exit(open_app(Experiment(sys.argv[1]), ascii_only=False))"
    )
    return f"cd {ROOT} && {sys.executable} -c '{code}' {folder}"


@pytest.fixture
def tmux(live: Path) -> Iterator[Tmux]:
    session = Tmux((80, 24), command(live))
    yield session
    session.close()


@needs_tmux
def test_keys_resizing_and_leaving_in_tmux(tmux: Tmux, live: Path) -> None:
    screen = tmux.wait_for("step 100/600")
    tmux.wait_for("sooner")
    assert "LIVE" in screen
    assert len(screen.splitlines()) == 24
    tmux.run("send-keys", "Space")
    tmux.wait_for("PAUSED at step 100")
    tmux.run("resize-window", "-x", "60", "-y", "20")
    tmux.wait_for("3 has it learned?")
    tmux.run("resize-window", "-x", "120", "-y", "40")
    tmux.wait_for("minimax fidelity")
    tmux.run("send-keys", "q")
    screen = tmux.wait_for("left with 0")
    assert "come back: synergy attach" in screen


@needs_tmux
def test_a_terminal_that_dies_leaves_the_experiment_whole(tmux: Tmux, live: Path) -> None:
    tmux.wait_for("sooner")
    before = (live / "events.jsonl").read_bytes()
    tmux.close()
    assert (live / "events.jsonl").read_bytes() == before
    again = Tmux((80, 24), command(live))
    try:
        assert "LIVE" in again.wait_for("sooner")
    finally:
        again.close()


@needs_tmux
@pytest.mark.parametrize(("option", "plain"), [("", True), ("-u", False)])
def test_ascii_in_a_tmux_without_utf8(live: Path, option: str, plain: bool) -> None:
    """A tmux in a tmux: only one that somebody is attached to knows what its terminal shows."""
    inner = f"synergy-{uuid.uuid4().hex[:8]}"
    (script := live.parent / "app.sh").write_text(command(live))
    outer = Tmux(
        (100, 30),
        f"unset TMUX; LC_ALL=C tmux {option} -L {inner} -f {os.devnull} new 'sh {script}'",
    )
    try:
        screen = outer.wait_for("LIVE")
        outer.wait_for("sooner")
        drawn = any("\u2500" <= letter <= "\u28ff" for letter in outer.screen())
        assert drawn != plain, screen
    finally:
        subprocess.run(["tmux", "-L", inner, "kill-server"], capture_output=True, check=False)
        outer.close()


@needs_tmux
def test_a_worker_that_dies_is_reported(tmp_path: Path) -> None:
    folder = synthetic.write(synthetic.trained(upto=100), tmp_path / "2026-11-23-killed")
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys\n"
            "from synergy_tui.experiments.experiment import Experiment\n"
         "with Experiment(sys.argv[1]).lock():\n print('held', flush=True); sys.stdin.read()",
         str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    session = Tmux((100, 30), command(folder))
    try:
        session.wait_for("LIVE")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert "synergy resume" in session.wait_for("The worker is gone")
    finally:
        session.close()
        holder.kill()
        holder.communicate()


def test_the_background_and_back(live: Path) -> None:
    """ctrl+z stops the process; SIGCONT (``fg``) draws again."""
    with Terminal(live, (80, 24)) as there:
        there.wait_for("how soon?")
        there.read(0.5)
        there.press("\x1a")
        while there.usage.status() != "stopped":
            there.read(0.05)
        there.read(0.2)
        there.process.send_signal(signal.SIGCONT)
        there.wait_for("how soon?")


def test_asked_for_ascii_it_sends_nothing_else(live: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    for options in ([], ["--ascii"]):
        with Terminal(live, (80, 24), "attach", *options) as there:
            there.wait_for("how soon?")
            there.read(0.5)
            assert there.received.isascii() == bool(options)


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_a_terminal_that_cannot_be_drawn_on_is_refused(
    term: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with pytest.raises(UserError, match="TERM") as caught:
        terminal.require_terminal({"TERM": term})
    assert "--no-ui" in (caught.value.hint or "")


def test_without_a_terminal_the_app_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from synergy_tui.app.terminal import require_terminal\n"
         "require_terminal()"], stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=ROOT,
        check=False,
    )  # fmt: skip
    assert "needs a terminal" in done.stderr


def test_the_kernels_console_gets_ascii() -> None:
    assert terminal.prefers_ascii({"TERM": "linux"})


@pytest.mark.parametrize(
    ("term", "colorterm", "expected"),
    [("xterm-256color", "", True), ("vt100", "", False), ("vt100", "truecolor", True)],
)
def test_colours_follow_the_terminal(term: str, colorterm: str, expected: bool) -> None:
    # In a process of its own: curses looks a terminal up once and then remembers.
    done = subprocess.run(
        [sys.executable, "-c",
         "from synergy_tui.app.terminal import has_colour; print(has_colour())"],
        env={**os.environ, "TERM": term, "COLORTERM": colorterm}, cwd=ROOT,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == str(expected)


def test_the_first_frame_imports_nothing_heavy() -> None:
    code = (
        "import sys, synergy_tui.app.app, synergy_tui.app.dashboard.screen\n"
        "heavy = {'torch', 'numba', 'scipy', 'networkx', 'matplotlib', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"
