"""The first moments of both programs: Ctrl-C during imports, a command given to the other."""

from __future__ import annotations

import subprocess
import sys

import pytest

from synergy_tui.errors import ExitCode

INTERRUPTED = """\
import sys

class Interrupt:
    def find_spec(self, name, *_):
        if name == {package!r}:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
from synergy_tui import start
start.{entry}()
"""


@pytest.mark.parametrize("entry", ["main", "tui"])
@pytest.mark.parametrize("package", ["click", "synergy_tui.streams"])
def test_an_interrupt_has_no_traceback_while_imports_run(entry: str, package: str) -> None:
    code = INTERRUPTED.format(entry=entry, package=package)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (ExitCode.INTERRUPTED, "interrupted\n")


def test_a_command_given_to_the_app_is_told_where_it_belongs() -> None:
    code = "from synergy_tui import start\nstart.tui()"
    done = subprocess.run(
        [sys.executable, "-c", code, "attach", "my run"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == ExitCode.BAD_INPUT
    assert done.stderr == (
        "synergy-tui: attach is a command, not a scenario.\n  Use `synergy attach 'my run'`.\n"
    )
