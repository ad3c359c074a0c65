"""Sweeps: many ordinary experiments from one scenario, run here or on a cluster."""
