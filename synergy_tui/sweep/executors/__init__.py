"""The ways to run the points of a sweep: pool, ensembles, data parallel, Ray."""
