"""The stepper: a signal spreading step by step, heads alone and mixed."""
