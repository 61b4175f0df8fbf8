"""Masks, noise and geography as arrays."""
