"""``task=train``: train a network."""
