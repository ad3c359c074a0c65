"""The dashboard: runs side by side, one panel per question."""
