"""``task=reconstruct``: complete the observations."""
