"""Programs that show each way to watch a training: ``python -m synergy_tui.watch.examples.NAME``."""
