"""Measure attention, graphs and checkpoints that people already have (``synergy analyze``)."""
