"""``python -m synergy_tui`` is ``synergy``."""

from synergy_tui.start import main

main()
