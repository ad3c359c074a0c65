"""Executing a scenario: the worker process, its signals, and its records."""
