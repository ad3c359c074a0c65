"""The library trains where only torch, NumPy, safetensors and lazy_loader are installed."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from tests.places import ROOT

CODE = """
import sys
import synergy_trainer as trainer

for absent in ("scipy", "numba", "textual", "synergy_engine"):
    try:
        __import__(absent)
    except ImportError:
        continue
    raise SystemExit(f"{absent} was imported")
settings = trainer.TrainSettings(length=8, steps=2, batch=4, embed=8, mlp=8, dropout=0.1)
runs = [trainer.RunSettings("one", heads=1), trainer.RunSettings("two", heads=2)]
events = list(trainer.train(settings, runs, device="cpu", directory=sys.argv[1]))
assert sum(isinstance(event, trainer.RunFinished) for event in events) == 2
trainer.warm_up()
from synergy_trainer.attend import lanes
assert lanes.compiled_kernels() is None
trainer.load_published(next(e.path for e in events if isinstance(e, trainer.Checkpoint)))
"""


def with_what_they_need(*names: str) -> list[Distribution]:
    """Distributions by name, and those they require on this machine."""
    found: dict[str, Distribution] = {}
    asked = list(names)
    while asked:
        name = re.sub("[-_.]+", "-", asked.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # for another platform or Python
            continue
        needed = (line for line in found[name].requires or [] if "extra ==" not in line)
        asked += [re.split(r"[^\w.-]", line)[0] for line in needed]
    return list(found.values())


def test_nothing_else_is_needed(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "synergy_trainer").symlink_to(ROOT / "trainer" / "synergy_trainer")
    for installed in with_what_they_need("torch", "numpy", "safetensors", "lazy-loader"):
        for top in {file.parts[0] for file in installed.files or []} - {"..", "__pycache__"}:
            if not (bare / top).exists():
                (bare / top).symlink_to(str(installed.locate_file(top)))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(bare)!r})\n{CODE}",
         str(tmp_path / "run")],
        check=False,
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
