"""The experiment directory: its events, their state, kept attention, and the verdict."""
