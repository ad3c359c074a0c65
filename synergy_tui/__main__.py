"""``python -m synergy_tui`` is ``synergy``."""

from synergy_tui.cli import main

main()
