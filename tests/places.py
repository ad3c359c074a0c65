"""Where things lie: this repository, its recordings, and the material beside it."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTHONPATH = os.pathsep.join(map(str, (ROOT / "engine", ROOT / "trainer", ROOT)))
DATA = ROOT / "tests" / "data"
SHARED = ROOT.parent / "shared"
"""What tests use where it is there, and skip without."""
