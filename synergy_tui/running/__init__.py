"""Executing a scenario: the worker process, its signals, and what it records."""
