"""Two runs of any experiments, live, and how far they are apart."""
