"""Internals of `benchmarks.compare`: the list of runners, measuring them in turns, and the report."""
