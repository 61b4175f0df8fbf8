"""Benchmark: methods and submissions of other tools, scored on a benchmark set."""
