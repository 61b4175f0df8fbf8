"""Batch jobs through Slurm: render, submit, follow, cancel. Knows nothing of reconstruction or training."""
