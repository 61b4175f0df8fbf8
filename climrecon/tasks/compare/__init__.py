"""``task=compare``: infilled products on a common grid, base period and coverage."""
