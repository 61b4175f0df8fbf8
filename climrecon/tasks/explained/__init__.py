"""Explained values: shared by a reconstruction and ``task=explain``."""
