"""Evidence from experiments and sweeps, written as one HTML file and Markdown."""
