"""Scores of reconstructions of known fields."""
