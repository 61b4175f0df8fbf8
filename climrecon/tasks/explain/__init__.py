"""``task=explain``: which observations a reconstructed value comes from."""
