"""The whole life of an experiment, from a clean shell, with the real command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("life_cycle.sh")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_the_whole_life_of_an_experiment(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", str(SCRIPT)],
        cwd=tmp_path,
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "LANG": "C.UTF-8",
            "PYTHON": sys.executable,
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=580,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.endswith("the whole life of an experiment: done\n")
    # Stdout of commands that print data was kept by the script: it is data and nothing else.
    for line in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines():
        assert json.loads(line)["v"] == 1
    assert not list((tmp_path / "experiments").iterdir())
