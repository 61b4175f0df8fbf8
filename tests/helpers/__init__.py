"""Helpers of several test modules: made-up archives, products and networks, a real Slurm, a user's calls."""
